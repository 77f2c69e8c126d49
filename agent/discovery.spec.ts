import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { capabilitiesOf, type HostTraits } from './capabilities.js';
import {
  answersAt,
  discoverFacts,
  discoverTraits,
  hasDefaultRoute,
  hasNetAdmin,
  nodeNameFrom,
} from './discovery.js';

const bare: HostTraits = {
  tunDevice: false,
  netAdmin: false,
  containerRuntime: null,
  addresses: [],
  hasDefaultRoute: false,
};

describe('hasNetAdmin', () => {
  it.each([
    [
      'root with all capabilities',
      'Name:\tnode\nCapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffffff\n',
      true,
    ],
    ['only CAP_NET_ADMIN', 'CapEff:\t0000000000001000\n', true],
    ['all but CAP_NET_ADMIN', 'CapEff:\t000001ffffffefff\n', false],
    ['permitted but not effective', 'CapPrm:\t0000000000001000\nCapEff:\t0000000000000000\n', false],
    ['an ordinary user', 'CapEff:\t0000000000000000\n', false],
    ['nonsense', 'CapEff:\tzz\n', false],
    ['nothing', '', false],
  ])('reads CapEff of %s', (_, status, expected) => expect(hasNetAdmin(status)).toBe(expected));
});

describe('hasDefaultRoute', () => {
  const heading = 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n';
  const route = (destination: string, flags: string, mask: string): string =>
    `${heading}eth0\t${destination}\t0101A8C0\t${flags}\t0\t0\t0\t${mask}\t0\t0\t0\n`;
  const six = (flags: string, device: string): string =>
    `${'0'.repeat(32)} 00 ${'0'.repeat(32)} 00 ${'0'.repeat(32)} 00000400 00000001 00000000 ${flags} ${device}\n`;

  it.each([
    ['an IPv4 default route', route('00000000', '0003', '00000000'), '', true],
    ['a route that is down', route('00000000', '0002', '00000000'), '', false],
    ['a local network only', route('0001A8C0', '0001', '00FFFFFF'), '', false],
    ['an IPv6 default route', heading, six('00000003', 'eth0'), true],
    ['the reject route that every host has', heading, six('00200200', 'lo'), false],
    ['nothing', '', '', false],
  ])('sees %s', (_, ipv4, ipv6, expected) => expect(hasDefaultRoute(ipv4, ipv6)).toBe(expected));
});

describe('capabilities', () => {
  it('are none on a host of which nothing can be seen', () => expect(capabilitiesOf(bare)).toEqual([]));

  it.each<[string, Partial<HostTraits>, string, boolean]>([
    ['tunnels with device and right', { tunDevice: true, netAdmin: true }, 'can_run_vpn_exit', true],
    ['no tunnels without the right', { tunDevice: true }, 'can_run_vpn_exit', false],
    ['no tunnels without the device', { netAdmin: true }, 'can_run_vpn_connector', false],
    ['remote desktops with a container runtime', { containerRuntime: 'podman' }, 'can_run_rdp_worker', true],
    ['ingress with an address', { addresses: ['203.0.113.7'] }, 'can_accept_client_ingress', true],
    [
      'no private network behind a public address',
      { addresses: ['203.0.113.7'] },
      'can_egress_private_network',
      false,
    ],
    ['a private network', { addresses: ['192.168.1.4'] }, 'can_egress_private_network', true],
    ['a private IPv6 network', { addresses: ['fd00::1'] }, 'can_egress_private_network', true],
    ['the internet with a default route', { hasDefaultRoute: true }, 'can_egress_internet', true],
  ])('include %s', (_, traits, name, expected) => {
    expect(capabilitiesOf({ ...bare, ...traits }).includes(name)).toBe(expected);
  });
});

describe('a container runtime', () => {
  it('is there as long as it answers, and not because its socket was left behind', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'agent-socket-'));
    const path = join(folder, 'runtime.sock');
    // Killed, a runtime cannot remove its socket.
    const listen = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`;
    const runtime = spawn(process.execPath, ['-e', listen]);
    try {
      await once(runtime.stdout, 'data');
      expect(await answersAt(path)).toBe(true);
      runtime.kill('SIGKILL');
      await once(runtime, 'exit');
      expect((await stat(path)).isSocket()).toBe(true);
      expect(await answersAt(path)).toBe(false);
      expect(await answersAt(join(folder, 'nothing'))).toBe(false);
    } finally {
      runtime.kill('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('facts of this host', () => {
  it('are scalars and name platform, hardware and kernel', async () => {
    const facts = await discoverFacts(await discoverTraits());
    expect(facts).toMatchObject({
      arch: process.arch,
      hostname: expect.any(String),
      kernel: expect.any(String),
    });
    expect(facts.cpuCount).toBeGreaterThan(0);
    expect(facts.memoryBytes).toBeGreaterThan(0);
    for (const value of Object.values(facts)) expect(['string', 'number', 'boolean']).toContain(typeof value);
  });
});

describe('nodeNameFrom', () => {
  it.each([
    ['edge-1.example', 'edge-1.example'],
    ['Büro PC', 'B-ro-PC'],
    ['', 'node'],
    ['x'.repeat(80), 'x'.repeat(63)],
  ])('makes a node name of %p', (hostname, name) => expect(nodeNameFrom(hostname)).toBe(name));
});
