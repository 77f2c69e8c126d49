import { readFile, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import os from 'node:os';
import type { HostTraits } from './capabilities.js';
import { AgentFailure } from './exit.js';

/** Facts as they go to the control plane: scalars only. */
export type Facts = Record<string, string | number | boolean>;

const OS_NAMES: Partial<Record<NodeJS.Platform, string>> = {
  linux: 'linux',
  darwin: 'darwin',
  win32: 'windows',
  android: 'android',
};
const ARCHITECTURES: readonly string[] = ['x64', 'arm64'];
/** Where the usual runtimes listen; root's and rootless. */
const RUNTIME_SOCKETS: readonly (readonly [string, string])[] = [
  ['docker', '/var/run/docker.sock'],
  ['podman', '/run/podman/podman.sock'],
  ['containerd', '/run/containerd/containerd.sock'],
  ['crio', '/var/run/crio/crio.sock'],
];
const SOCKET_TIMEOUT_MS = 1_000;
const CAP_NET_ADMIN = 12n; // bit number, linux/capability.h

/**
 * What the host is, in the words of the contract.
 * @throws AgentFailure on a platform that the fabric does not know
 */
export async function discoverFacts(traits: HostTraits): Promise<Facts> {
  const name = OS_NAMES[process.platform];
  if (name === undefined || !ARCHITECTURES.includes(process.arch)) {
    throw new AgentFailure(`${process.platform}/${process.arch} is not a platform that a node can run on`);
  }
  const machineId = await readMachineId();
  return {
    os: name,
    arch: process.arch,
    hostname: os.hostname(),
    kernel: os.release(),
    cpuCount: os.cpus().length,
    memoryBytes: os.totalmem(),
    ...(machineId !== null && { machineId }),
    // What the capabilities were concluded from, so that a reviewer need not guess.
    tunDevice: traits.tunDevice,
    netAdmin: traits.netAdmin,
    containerRuntime: traits.containerRuntime ?? 'none',
  };
}

/** Looks at the host; everything that cannot be seen counts as absent. */
export async function discoverTraits(): Promise<HostTraits> {
  return {
    tunDevice: await isCharacterDevice('/dev/net/tun'),
    netAdmin: hasNetAdmin(await readOrEmpty('/proc/self/status')),
    containerRuntime: await findRuntime(),
    addresses: outsideAddresses(os.networkInterfaces()),
    hasDefaultRoute: hasDefaultRoute(
      await readOrEmpty('/proc/net/route'),
      await readOrEmpty('/proc/net/ipv6_route'),
    ),
  };
}

/** Whether the effective capabilities in the text of `/proc/<pid>/status` include CAP_NET_ADMIN. */
export function hasNetAdmin(status: string): boolean {
  const mask = /^CapEff:\s*([0-9a-fA-F]{1,16})\s*$/m.exec(status)?.[1];
  return mask !== undefined && ((BigInt(`0x${mask}`) >> CAP_NET_ADMIN) & 1n) === 1n;
}

/** Whether the kernel's tables (`/proc/net/route`, `/proc/net/ipv6_route`) have a default route that is up. */
export function hasDefaultRoute(ipv4: string, ipv6: string): boolean {
  const isUp = (flags: string | undefined, reject: number): boolean => {
    const bits = Number.parseInt(flags ?? '0', 16);
    return (bits & 0x1) !== 0 && (bits & reject) === 0;
  };
  const rows = (text: string): string[][] => text.split('\n').map((line) => line.trim().split(/\s+/));
  // Columns: interface, destination, gateway, flags, ..., mask (8th). 0x200 is RTF_REJECT.
  const four = rows(ipv4).some((r) => r[1] === '00000000' && r[7] === '00000000' && isUp(r[3], 0x200));
  // Columns: destination, its prefix length, ..., flags (9th), interface (10th).
  const six = rows(ipv6).some(
    (r) => /^0{32}$/.test(r[0] ?? '') && r[1] === '00' && r[9] !== 'lo' && isUp(r[8], 0x200),
  );
  return four || six;
}

/** A host's name as a node's name: 1-63 of `[A-Za-z0-9._-]`. */
export function nodeNameFrom(hostname: string): string {
  const name = hostname.replace(/[^A-Za-z0-9._-]+/g, '-').slice(0, 63);
  return name === '' ? 'node' : name;
}

function outsideAddresses(interfaces: NodeJS.Dict<os.NetworkInterfaceInfo[]>): string[] {
  const all = Object.values(interfaces).flatMap((addresses) => addresses ?? []);
  return all.filter((address) => !address.internal).map((address) => address.address);
}

/** The id that systemd and D-Bus share; containers often have an empty or unset one, which names nothing. */
async function readMachineId(): Promise<string | null> {
  const id = (await readOrEmpty('/etc/machine-id')).trim();
  return /^[0-9a-f]{32}$/.test(id) ? id : null;
}

async function findRuntime(): Promise<string | null> {
  const own = process.getuid?.();
  const rootless = own === undefined ? [] : [['podman', `/run/user/${own}/podman/podman.sock`] as const];
  for (const [name, path] of [...RUNTIME_SOCKETS, ...rootless]) {
    if (await answersAt(path)) return name;
  }
  return null;
}

/** Whether somebody answers behind this socket: the file stays when a runtime is stopped or killed. */
export function answersAt(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const finish = (answers: boolean): void => {
      socket.destroy();
      resolve(answers);
    };
    socket.setTimeout(SOCKET_TIMEOUT_MS, () => finish(false));
    socket.once('connect', () => finish(true));
    socket.once('error', () => finish(false));
  });
}

async function isCharacterDevice(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isCharacterDevice();
  } catch {
    return false;
  }
}

async function readOrEmpty(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
