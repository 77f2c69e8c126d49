import { readdir } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { HOST_CLOCK } from '../../agent/host-clock.js';
import type { SnapshotWorkload, Workload } from '../../agent/snapshot-workload.js';
import { runningIn } from '../../agent/supervisor/leftovers.js';
import type { ServiceReport } from '../../agent/supervisor/service-report.js';
import { isAlive, role, shell, supervisedNode, workload } from '../support/supervised-node.js';

const node = supervisedNode();

describe('a wanted service', () => {
  it('runs, is reported with the version that is installed, and is found by a successor', async () => {
    node().wants([workload()]);
    const pid = await node().runs('relay-node');
    expect(isAlive(pid)).toBe(true);
    node().wants([workload()], { issuedAt: new Date(node().clock.now().getTime() + 1_000).toISOString() }); // issued again
    expect(await runningIn(node().workloads)).toEqual(new Map([['relay-node', pid]]));
    expect(node().reports.map(({ reportedState }) => reportedState)).toEqual(['starting', 'running']);
    expect(node().reports.at(-1)).toMatchObject({ version: '1.4.2', health: 'unknown', message: null });
    expect(node().supervisor.report()).toMatchObject({
      workloads: [{ serviceType: 'relay-node', reportedState: 'running', version: '1.4.2' }],
    });
    expect(node().lives).toEqual(['workload.started']);
  });

  it('gets its configuration and references as files, and nothing of the agent’s environment', async () => {
    process.env.RAP_JOIN_TOKEN = 'fjt_secret';
    const say = 'env; cat "$RAP_CONFIG_FILE" "$RAP_SECRET_REFS_FILE"; exec sleep 600';
    await node().define('relay-node', { command: shell(say), env: { MODE: 'fast' }, cwd: '/' });
    const config = { port: 7000 };
    node().wants([workload({ config, secretRefs: { key: 'vault://edge#key' } })]);
    await node().runs('relay-node');
    delete process.env.RAP_JOIN_TOKEN;
    const logTail = await node().said(/"key": .*\n/);
    const { instanceId } = node().reports.at(-1) ?? {};
    for (const line of [
      'RAP_SERVICE_TYPE=relay-node',
      `RAP_INSTANCE_ID=${instanceId}`,
      'MODE=fast',
      'PWD=/',
    ]) {
      expect(logTail).toContain(` ${line}\n`);
    }
    expect(logTail).toContain('"port": 7000');
    expect(logTail).toContain('"key": "vault://edge#key"');
    expect(logTail).not.toContain('fjt_secret');
  });

  it('comes back when it is killed, as another instance', async () => {
    node().wants([workload()]);
    const pid = await node().runs('relay-node');
    const { instanceId } = node().reports.at(-1) ?? {};
    process.kill(pid, 'SIGKILL');
    const failed = await node().seen('workload.changed', { reportedState: 'failed' });
    expect(failed.message).toBe('was killed by SIGKILL; next start 0.1 s after that');
    const { pid: next } = await node().seen('workload.started', {}, 1);
    expect(isAlive(Number(next))).toBe(true);
    await node().seen('workload.changed', { reportedState: 'running' }, 4);
    expect(node().reports.at(-1)?.instanceId).not.toBe(instanceId);
  });

  it('ends with all that it has started, whatever became of that', async () => {
    const leave = [
      'sleep 600 &',
      'echo $!;',
      'env -i /bin/sleep 600 &', // without a trace of its origin in its environment
      'echo $!;',
      'setsid sh -c "echo \\$\\$; exec sleep 600" &', // in a session of its own
      'exec sleep 600',
    ];
    await node().define('relay-node', { command: shell(leave.join(' ')) });
    node().wants([workload()]);
    const first = await node().runs('relay-node');
    const said = await node().said(/( \d+\n[\s\S]*){3}/);
    const pids = [first, ...[...said.matchAll(/ (\d+)\n/g)].map(([, pid]) => Number(pid))];
    expect(pids).toHaveLength(4);
    expect(pids.filter(isAlive)).toEqual(pids);
    node().wants([workload({ desiredState: 'stopped' })]);
    await node().seen('workload.changed', { reportedState: 'stopped' });
    expect(pids.filter(isAlive)).toEqual([]);
  });

  it('takes what a service left behind with it before it is started again', async () => {
    await node().define('relay-node', { command: shell('sleep 600 & echo $!; exec sleep 600') });
    node().wants([workload()]);
    const pid = await node().runs('relay-node');
    const child = Number(/ (\d+)\n/.exec(await node().said(/ \d+\n/))?.[1]);
    process.kill(pid, 'SIGKILL');
    await node().seen('workload.started', {}, 1);
    expect(isAlive(child)).toBe(false);
  });

  it('is killed when it does not stop in time', async () => {
    const deaf = shell('trap "" TERM; echo ready; while :; do sleep 1; done');
    await node().define('relay-node', { command: deaf, stopTimeoutSeconds: 1 });
    node().wants([workload()]);
    const pid = await node().runs('relay-node');
    await node().said(/ ready\n/);
    node().wants([workload({ desiredState: 'stopped' })]);
    expect(node().reports.at(-1)?.reportedState).toBe('stopping');
    expect((await node().seen('workload.ended')).detail).toBe('was killed by SIGKILL');
    expect(isAlive(pid)).toBe(false);
  });

  it('may have time to tidy up, with the signal that it asks for', async () => {
    const tidy = shell('trap "echo tidy; exit 0" USR1; echo ready; while :; do sleep 0.05; done');
    await node().define('relay-node', { command: tidy, stopSignal: 'SIGUSR1' });
    node().wants([workload()]);
    await node().runs('relay-node');
    await node().said(/ ready\n/);
    node().wants([workload({ desiredState: 'stopped' })]);
    await node().seen('workload.changed', { reportedState: 'stopped' });
    await node().said(/ tidy\n/);
  });

  it.each<[string, () => Promise<Partial<Workload>>]>([
    ['configuration', async () => ({ config: { port: 1 } })],
    ['desired version', async () => ({ version: '2.0.0' })],
    [
      'definition on the host',
      async () => {
        await node().define('relay-node', { command: ['/bin/sleep', '601'], version: '2.0.0' });
        return {};
      },
    ],
  ])('is another process when its %s changes, and never two at once', async (_, change) => {
    node().wants([workload()]);
    const pid = await node().starts('relay-node');
    node().wants([workload(await change())]);
    await node().seen('workload.started', {}, 1);
    expect(node().lives).toEqual(['workload.started', 'workload.ended', 'workload.started']);
    expect(isAlive(pid)).toBe(false);
  });

  it('waits longer from one failure to the next', async () => {
    await node().define('relay-node', { command: shell('echo broken >&2; exit 3') });
    // However long its end takes, it is never well: without a check it would count as running after a moment.
    const healthCheck = { type: 'tcp', port: 1, intervalSeconds: 3_600, timeoutSeconds: 60 } as const;
    node().wants([workload({ healthCheck: { ...healthCheck, failureThreshold: 1 } })]);
    for (const delay of ['0.1', '0.2', '0.4']) {
      const message = `ended with exit code 3; next start ${delay} s after that`;
      await node().seen('workload.changed', { reportedState: 'failed', message });
    }
    expect(node().reports.at(-1)?.logTail).toContain(' broken\n');
    expect(node().reports.some(({ reportedState }) => reportedState === 'running')).toBe(false);
  });

  it('leaves nothing behind when it is wanted no more', async () => {
    node().wants([workload(), workload({ serviceType: 'vpn-exit' })]);
    await Promise.all([node().starts('relay-node'), node().starts('vpn-exit')]);
    node().wants([workload({ serviceType: 'vpn-exit' })]);
    await node().seen('workload.changed', { serviceType: 'relay-node', reportedState: 'stopped' });
    const reported = () =>
      (node().supervisor.report().workloads as ServiceReport[]).map((one) => one.serviceType);
    while (reported().includes('relay-node')) await new Promise(setImmediate);
    expect(reported()).toEqual(['vpn-exit']);
    expect(await readdir(node().workloads)).toEqual(['vpn-exit']);
  });
});

describe('what may not run', () => {
  it('is stopped at the very instant at which its role ends, with nobody to say so', async () => {
    const wanted = [workload(), workload({ serviceType: 'vpn-exit' })];
    node().wants(wanted);
    await Promise.all([node().starts('relay-node'), node().starts('vpn-exit')]);
    const until = node().clock.now().getTime() + 500;
    node().wants(wanted, { roles: [role('relay-node', new Date(until).toISOString()), role('vpn-exit')] });
    await node().seen('workload.changed', { serviceType: 'relay-node', reportedState: 'stopping' });
    const lateMs = node().clock.now().getTime() - until;
    expect(lateMs).toBeGreaterThanOrEqual(0);
    const { message } = await node().seen('workload.changed', { reportedState: 'stopped' });
    expect(message).toBe('no role in force on this node covers relay-node');
    expect((await runningIn(node().workloads)).size).toBe(1);
  });

  it('never starts: there is no role for it, a role of another, or a membership that is disabled', async () => {
    const echo = workload({ serviceType: 'synthetic.echo' });
    node().wants([workload(), echo], { roles: [] });
    node().wants([workload()], { roles: [role('vpn-exit')] });
    node().wants([workload(), echo], { membershipStatus: 'disabled' });
    await node().seen('workload.changed', { message: 'the membership is not active' });
    node().wants([workload({ serviceType: 'vpn-exit' })]);
    await node().starts('vpn-exit'); // whatever was started before would have been seen by now
    expect(node().events('workload.started')).toHaveLength(1);
  });

  it.each<[string, () => void]>([
    ['the node is disabled', () => node().wants([], { membershipStatus: 'disabled', roles: [] })],
    ['the role is taken away', () => node().wants([workload()], { roles: [role('vpn-exit')] })],
    ['the identity is over', () => node().roles.apply(null)],
    ['the agent stops', () => void node().close()],
  ])('is stopped when %s', async (_, happen) => {
    node().wants([workload()]);
    const pid = await node().starts('relay-node');
    happen();
    await node().seen('workload.changed', { reportedState: 'stopped' });
    expect(isAlive(pid)).toBe(false);
  });

  it('goes on or stops as it was told once expiry and grace are over, and is neither ended nor revived by a clock that is set', async () => {
    const stop = workload({ serviceType: 'vpn-exit', whenControlPlaneLost: 'stop' });
    node().wants([workload(), stop]);
    const [kept] = await Promise.all([node().starts('relay-node'), node().starts('vpn-exit')]);
    node().wants([workload(), stop], {
      expiresAt: new Date(node().clock.now().getTime() + 600).toISOString(),
      degradedGraceSeconds: 1,
    });
    node().host.setBy = 48 * 3_600_000; // far beyond the grace
    expect(node().clock.now().getTime()).toBeLessThan(HOST_CLOCK.wallMs() + 60_000);
    await node().seen('roles.changed', { added: [], removed: ['rdp-worker', 'relay-node', 'vpn-exit'] });
    const stopped = await node().seen('workload.changed', {
      serviceType: 'vpn-exit',
      reportedState: 'stopped',
    });
    expect(stopped.message).toBe('the control plane has been lost for longer than the grace allows');
    expect(isAlive(kept)).toBe(true);

    node().host.setBy = -48 * 3_600_000;
    process.kill(kept, 'SIGKILL'); // what is kept is kept alive, too
    await node().seen('workload.started', { serviceType: 'relay-node' }, 2);
    expect(
      node()
        .events('workload.started')
        .filter(({ serviceType }) => serviceType === 'vpn-exit'),
    ).toHaveLength(1);
    expect(node().events('roles.changed')).toHaveLength(2);
  });

  it.each<[string, SnapshotWorkload, string]>([
    [
      'a container',
      workload({ runtime: 'container' }),
      'this agent does not run workloads of runtime "container"',
    ],
    ['an unknown service', workload({ serviceType: 'core-mesh' }), 'this host has no service core-mesh'],
    ['what it cannot read', { serviceType: 'relay-node', unreadable: 'strange' }, 'strange'],
    [
      'an RDP worker',
      workload({ serviceType: 'rdp-worker' }),
      'this agent has no RDP runtime; "adapter_contract_probe" in the config shows its contract',
    ],
  ])('reports %s as unsupported', async (_, wanted, message) => {
    await node().define('rdp-worker', { command: ['/bin/sleep', '600'] }); // the name is not the host's to give
    node().wants([wanted], { roles: ['relay-node', 'core-mesh', 'rdp-worker'].map((name) => role(name)) });
    await node().seen('workload.changed', { reportedState: 'unsupported', message });
    expect(node().events('workload.started')).toEqual([]);
  });

  it('shows the contract of an RDP worker as degraded, never as running', async () => {
    node().wants([workload({ serviceType: 'rdp-worker', config: { adapter_contract_probe: true } })]);
    await node().seen('workload.changed', { reportedState: 'degraded' });
    const { logTail = '', message } = node().reports.at(-1) ?? {};
    expect(message).toContain('contract probe only');
    expect(JSON.parse(logTail)).toMatchObject({ probeOnly: true, payloadTraffic: 'none' });
    expect(node().events('workload.started')).toEqual([]);
  });
});
