import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { v4 as uuid } from 'uuid';
import { HOST_CLOCK, type HostClock } from '../host-clock.js';
import { Log } from '../log.js';
import { isRunning, processRow } from '../process-table.js';
import { RoleKeeper } from '../role-keeper.js';
import { ServerClock } from '../server-clock.js';
import type { Snapshot } from '../snapshot.js';
import type { SnapshotWorkload, Workload } from '../snapshot-workload.js';
import { endLeftovers, runningIn } from './leftovers.js';
import { ServiceCatalogue } from './service-catalogue.js';
import type { ServiceReport } from './service-report.js';
import { Supervisor } from './supervisor.js';

type Fields = Record<string, unknown>;

/** The host's clocks, of which the test may set the one that anybody can set. */
class SettableHost implements HostClock {
  setBy = 0;
  readonly bootId = HOST_CLOCK.bootId;
  wallMs = (): number => HOST_CLOCK.wallMs() + this.setBy;
  steadyMs = (): number => HOST_CLOCK.steadyMs();
}

/** As much of an agent as runs workloads, on real processes. */
class TestNode {
  readonly host = new SettableHost();
  readonly clock = new ServerClock(null, this.host);
  readonly reports: (ServiceReport & { logTail: string })[] = [];
  private readonly lines: Fields[] = [];
  private readonly waiting = new Set<() => void>();
  private readonly log = new Log('debug', (line) => {
    this.lines.push(JSON.parse(line) as Fields);
    for (const look of this.waiting) look();
  });
  readonly roles = new RoleKeeper(this.clock, this.log);
  readonly supervisor: Supervisor;

  constructor(readonly directory: string) {
    this.supervisor = new Supervisor({
      directory: this.workloads,
      catalogue: new ServiceCatalogue(this.services),
      node: { nodeId: uuid(), clusterId: uuid() },
      log: this.log,
      onReport: (report, logTail) => this.reports.push({ ...report, logTail }),
    });
    this.roles.follow((snapshot, now) => this.supervisor.apply(snapshot, now));
  }

  get workloads(): string {
    return join(this.directory, 'workloads');
  }

  get services(): string {
    return join(this.directory, 'services');
  }

  async define(serviceType: string, definition: Fields): Promise<void> {
    await writeFile(join(this.services, `${serviceType}.json`), JSON.stringify(definition), { mode: 0o600 });
  }

  wants(workloads: SnapshotWorkload[], change: Partial<Snapshot> = {}): void {
    const at = (ms: number): string => new Date(this.clock.now().getTime() + ms).toISOString();
    this.roles.apply({
      clusterId: 'c',
      nodeId: 'n',
      generation: 1,
      authorityTerm: 1,
      issuedAt: at(0),
      expiresAt: at(3_600_000),
      degradedGraceSeconds: 0,
      membershipStatus: 'active',
      roles: [role('relay-node'), role('vpn-exit'), role('rdp-worker')],
      workloads,
      snapshotKeys: [],
      vpnAssignments: [],
      ...change,
    });
  }

  /** Resolves with the first event like this one from the `from`-th on. */
  async seen(event: string, like: Fields = {}, from = 0): Promise<Fields> {
    for (;;) {
      const found = this.events(event)
        .slice(from)
        .find((line) => matches(line, like));
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  events(event: string): Fields[] {
    return this.lines.filter((line) => line.event === event);
  }

  /** Starts, ends and nothing else, in their order. */
  get lives(): string[] {
    const names = ['workload.started', 'workload.ended'];
    return this.lines.filter(({ event }) => names.includes(String(event))).map(({ event }) => String(event));
  }

  /** Resolves with the process of the service once it is there. */
  async starts(serviceType: string): Promise<number> {
    return Number((await this.seen('workload.started', { serviceType })).pid);
  }

  /** The same, once it is reported as running: then what it wrote first is there, too. */
  async runs(serviceType: string): Promise<number> {
    await this.seen('workload.changed', { serviceType, reportedState: 'running' });
    return this.starts(serviceType);
  }

  async close(): Promise<void> {
    this.roles.stop();
    await this.supervisor.close();
  }
}

function matches(line: Fields, like: Fields): boolean {
  return Object.entries(like).every(([name, value]) => JSON.stringify(line[name]) === JSON.stringify(value));
}

function role(name: string, validUntil: string | null = null): Snapshot['roles'][number] {
  return { role: name, organizationId: null, policy: null, validFrom: null, validUntil };
}

function workload(change: Partial<Workload> = {}): Workload {
  return {
    serviceType: 'relay-node',
    desiredState: 'running',
    runtime: 'native',
    version: null,
    config: {},
    secretRefs: {},
    healthCheck: null,
    restartPolicy: { mode: 'always', initialDelaySeconds: 0, maxDelaySeconds: 1, resetAfterSeconds: 600 },
    whenControlPlaneLost: 'keep',
    ...change,
  };
}

const shell = (script: string): string[] => ['/bin/sh', '-c', script];
const isAlive = (pid: number): boolean => {
  const row = processRow(pid);
  return row !== null && isRunning(row);
};

let node: TestNode;
beforeEach(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'supervisor-'));
  await mkdir(join(directory, 'services'), { mode: 0o700 });
  node = new TestNode(directory);
  await node.define('relay-node', { command: ['/bin/sleep', '600'], version: '1.4.2' });
  await node.define('vpn-exit', { command: ['/bin/sleep', '600'] });
});
afterEach(async () => {
  await node.close();
  await rm(node.directory, { recursive: true, force: true });
});

describe('a wanted service', () => {
  it('runs, is reported with the version that is installed, and is found by a successor', async () => {
    node.wants([workload()]);
    const pid = await node.runs('relay-node');
    expect(isAlive(pid)).toBe(true);
    node.wants([workload()], { issuedAt: new Date(node.clock.now().getTime() + 1_000).toISOString() }); // issued again
    expect(await runningIn(node.workloads)).toEqual(new Map([['relay-node', pid]]));
    expect(node.reports.map(({ reportedState }) => reportedState)).toEqual(['starting', 'running']);
    expect(node.reports.at(-1)).toMatchObject({ version: '1.4.2', health: 'unknown', message: null });
    expect(node.supervisor.report()).toMatchObject({
      workloads: [{ serviceType: 'relay-node', reportedState: 'running', version: '1.4.2' }],
    });
    expect(node.lives).toEqual(['workload.started']);
  });

  it('gets its configuration and references as files, and nothing of the agent’s environment', async () => {
    process.env.RAP_JOIN_TOKEN = 'fjt_secret';
    const say = 'env; cat "$RAP_CONFIG_FILE" "$RAP_SECRET_REFS_FILE"; exec sleep 600';
    await node.define('relay-node', { command: shell(say), env: { MODE: 'fast' }, cwd: '/' });
    const config = { port: 7000 };
    node.wants([workload({ config, secretRefs: { key: 'vault://edge#key' } })]);
    await node.runs('relay-node');
    delete process.env.RAP_JOIN_TOKEN;
    const { logTail, instanceId } = node.reports.at(-1) ?? {};
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
    node.wants([workload()]);
    const pid = await node.runs('relay-node');
    const { instanceId } = node.reports.at(-1) ?? {};
    process.kill(pid, 'SIGKILL');
    const failed = await node.seen('workload.changed', { reportedState: 'failed' });
    expect(failed.message).toBe('was killed by SIGKILL; next start 0.1 s after that');
    const { pid: next } = await node.seen('workload.started', {}, 1);
    expect(isAlive(Number(next))).toBe(true);
    await node.seen('workload.changed', { reportedState: 'running' }, 4);
    expect(node.reports.at(-1)?.instanceId).not.toBe(instanceId);
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
    await node.define('relay-node', { command: shell(leave.join(' ')) });
    node.wants([workload()]);
    const first = await node.runs('relay-node');
    const said = node.reports.at(-1)?.logTail ?? '';
    const pids = [first, ...[...said.matchAll(/ (\d+)\n/g)].map(([, pid]) => Number(pid))];
    expect(pids).toHaveLength(4);
    expect(pids.filter(isAlive)).toEqual(pids);
    node.wants([workload({ desiredState: 'stopped' })]);
    await node.seen('workload.changed', { reportedState: 'stopped' });
    expect(pids.filter(isAlive)).toEqual([]);
  });

  it('takes what a service left behind with it before it is started again', async () => {
    await node.define('relay-node', { command: shell('sleep 600 & echo $!; exec sleep 600') });
    node.wants([workload()]);
    const pid = await node.runs('relay-node');
    const child = Number(/ (\d+)\n/.exec(node.reports.at(-1)?.logTail ?? '')?.[1]);
    process.kill(pid, 'SIGKILL');
    await node.seen('workload.started', {}, 1);
    expect(isAlive(child)).toBe(false);
  });

  it('is killed when it does not stop in time', async () => {
    const deaf = shell('trap "" TERM; echo ready; while :; do sleep 1; done');
    await node.define('relay-node', { command: deaf, stopTimeoutSeconds: 1 });
    node.wants([workload()]);
    const pid = await node.runs('relay-node');
    node.wants([workload({ desiredState: 'stopped' })]);
    expect(node.reports.at(-1)?.reportedState).toBe('stopping');
    expect((await node.seen('workload.ended')).detail).toBe('was killed by SIGKILL');
    expect(isAlive(pid)).toBe(false);
  });

  it('may have time to tidy up, with the signal that it asks for', async () => {
    const tidy = shell('trap "echo tidy; exit 0" USR1; echo ready; while :; do sleep 0.05; done');
    await node.define('relay-node', { command: tidy, stopSignal: 'SIGUSR1' });
    node.wants([workload()]);
    await node.runs('relay-node');
    node.wants([workload({ desiredState: 'stopped' })]);
    await node.seen('workload.changed', { reportedState: 'stopped' });
    expect(node.reports.at(-1)?.logTail).toContain(' tidy\n');
  });

  it.each<[string, () => Promise<Partial<Workload>>]>([
    ['configuration', async () => ({ config: { port: 1 } })],
    ['desired version', async () => ({ version: '2.0.0' })],
    [
      'definition on the host',
      async () => {
        await node.define('relay-node', { command: ['/bin/sleep', '601'], version: '2.0.0' });
        return {};
      },
    ],
  ])('is another process when its %s changes, and never two at once', async (_, change) => {
    node.wants([workload()]);
    const pid = await node.starts('relay-node');
    node.wants([workload(await change())]);
    await node.seen('workload.started', {}, 1);
    expect(node.lives).toEqual(['workload.started', 'workload.ended', 'workload.started']);
    expect(isAlive(pid)).toBe(false);
  });

  it('waits longer from one failure to the next', async () => {
    await node.define('relay-node', { command: shell('echo broken >&2; exit 3') });
    node.wants([workload()]);
    for (const delay of ['0.1', '0.2', '0.4']) {
      const message = `ended with exit code 3; next start ${delay} s after that`;
      await node.seen('workload.changed', { reportedState: 'failed', message });
    }
    expect(node.reports.at(-1)?.logTail).toContain(' broken\n');
    expect(node.reports.some(({ reportedState }) => reportedState === 'running')).toBe(false);
  });

  it('leaves nothing behind when it is wanted no more', async () => {
    node.wants([workload(), workload({ serviceType: 'vpn-exit' })]);
    await Promise.all([node.starts('relay-node'), node.starts('vpn-exit')]);
    node.wants([workload({ serviceType: 'vpn-exit' })]);
    await node.seen('workload.changed', { serviceType: 'relay-node', reportedState: 'stopped' });
    while ((await readdir(node.workloads)).includes('relay-node')) await new Promise(setImmediate);
    expect(await readdir(node.workloads)).toEqual(['vpn-exit']);
    expect(node.supervisor.report()).toMatchObject({ workloads: [{ serviceType: 'vpn-exit' }] });
  });
});

describe('what may not run', () => {
  it('is stopped at the very instant at which its role ends, with nobody to say so', async () => {
    const until = node.clock.now().getTime() + 1_500;
    node.wants([workload(), workload({ serviceType: 'vpn-exit' })], {
      roles: [role('relay-node', new Date(until).toISOString()), role('vpn-exit')],
    });
    await Promise.all([node.starts('relay-node'), node.starts('vpn-exit')]);
    await node.seen('workload.changed', { serviceType: 'relay-node', reportedState: 'stopping' });
    const lateMs = node.clock.now().getTime() - until;
    expect(lateMs).toBeGreaterThanOrEqual(0);
    const { message } = await node.seen('workload.changed', { reportedState: 'stopped' });
    expect(message).toBe('no role in force on this node covers relay-node');
    expect((await runningIn(node.workloads)).size).toBe(1);
  });

  it('never starts: there is no role for it, a role of another, or a membership that is disabled', async () => {
    const echo = workload({ serviceType: 'synthetic.echo' });
    node.wants([workload(), echo], { roles: [] });
    node.wants([workload()], { roles: [role('vpn-exit')] });
    node.wants([workload(), echo], { membershipStatus: 'disabled' });
    await node.seen('workload.changed', { message: 'the membership is not active' });
    node.wants([workload({ serviceType: 'vpn-exit' })]);
    await node.starts('vpn-exit'); // whatever was started before would have been seen by now
    expect(node.events('workload.started')).toHaveLength(1);
  });

  it.each<[string, () => void]>([
    ['the node is disabled', () => node.wants([], { membershipStatus: 'disabled', roles: [] })],
    ['the role is taken away', () => node.wants([workload()], { roles: [role('vpn-exit')] })],
    ['the identity is over', () => node.roles.apply(null)],
    ['the agent stops', () => void node.close()],
  ])('is stopped when %s', async (_, happen) => {
    node.wants([workload()]);
    const pid = await node.starts('relay-node');
    happen();
    await node.seen('workload.changed', { reportedState: 'stopped' });
    expect(isAlive(pid)).toBe(false);
  });

  it('goes on or stops as it was told once expiry and grace are over, and is neither ended nor revived by a clock that is set', async () => {
    const stop = workload({ serviceType: 'vpn-exit', whenControlPlaneLost: 'stop' });
    const wanted = (): void =>
      node.wants([workload(), stop], {
        expiresAt: new Date(node.clock.now().getTime() + 600).toISOString(),
        degradedGraceSeconds: 1,
      });
    wanted();
    const [kept] = await Promise.all([node.starts('relay-node'), node.starts('vpn-exit')]);
    node.host.setBy = 48 * 3_600_000; // far beyond the grace
    expect(node.clock.now().getTime()).toBeLessThan(HOST_CLOCK.wallMs() + 60_000);
    await node.seen('roles.changed', { added: [], removed: ['rdp-worker', 'relay-node', 'vpn-exit'] });
    const stopped = await node.seen('workload.changed', {
      serviceType: 'vpn-exit',
      reportedState: 'stopped',
    });
    expect(stopped.message).toBe('the control plane has been lost for longer than the grace allows');
    expect(isAlive(kept)).toBe(true);

    node.host.setBy = -48 * 3_600_000;
    process.kill(kept, 'SIGKILL'); // what is kept is kept alive, too
    await node.seen('workload.started', { serviceType: 'relay-node' }, 2);
    expect(
      node.events('workload.started').filter(({ serviceType }) => serviceType === 'vpn-exit'),
    ).toHaveLength(1);
    expect(node.events('roles.changed')).toHaveLength(2);
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
    await node.define('rdp-worker', { command: ['/bin/sleep', '600'] }); // the name is not the host's to give
    node.wants([wanted], { roles: ['relay-node', 'core-mesh', 'rdp-worker'].map((name) => role(name)) });
    await node.seen('workload.changed', { reportedState: 'unsupported', message });
    expect(node.events('workload.started')).toEqual([]);
  });

  it('shows the contract of an RDP worker as degraded, never as running', async () => {
    node.wants([workload({ serviceType: 'rdp-worker', config: { adapter_contract_probe: true } })]);
    await node.seen('workload.changed', { reportedState: 'degraded' });
    const { logTail = '', message } = node.reports.at(-1) ?? {};
    expect(message).toContain('contract probe only');
    expect(JSON.parse(logTail)).toMatchObject({ probeOnly: true, payloadTraffic: 'none' });
    expect(node.events('workload.started')).toEqual([]);
  });
});

describe('a definition of the host', () => {
  it.each<[string, Fields, string]>([
    ['without a command', {}, 'must have a "command": a list of texts, the first an absolute path'],
    ['with a command from the path', { command: ['sleep'] }, 'must have a "command"'],
    ['with a member of no meaning', { command: ['/bin/sleep'], comand: [] }, 'has a member "comand"'],
    ['that forges what the agent says', { command: ['/bin/sleep'], env: { RAP_NODE_ID: 'x' } }, 'sets RAP_'],
    ['with a signal that is none', { command: ['/bin/sleep'], stopSignal: 'SIGHELLO' }, 'that is no signal'],
  ])('%s is said to be unusable', async (_, definition, reason) => {
    await node.define('relay-node', definition);
    node.wants([workload()]);
    const { message } = await node.seen('workload.changed', { reportedState: 'failed' });
    expect(message).toContain(reason);
  });

  it.each<[string, () => Promise<void>, string]>([
    ['file', () => chmod(join(node.services, 'relay-node.json'), 0o666), 'can be written by others'],
    ['folder', () => chmod(node.services, 0o777), 'is in a folder that can be written by others'],
  ])('is not followed when others may write its %s, until that is mended', async (_, spoil, reason) => {
    await spoil();
    node.wants([workload()]);
    const { message } = await node.seen('workload.changed', { reportedState: 'failed' });
    expect(message).toContain(reason);
    await chmod(join(node.services, 'relay-node.json'), 0o600);
    await chmod(node.services, 0o700);
    node.wants([workload()]);
    await node.starts('relay-node');
  });

  it('whose program is not there fails, and is tried again', async () => {
    await node.define('relay-node', { command: ['/nowhere/relay'] });
    node.wants([workload()]);
    const { message } = await node.seen('workload.changed', { reportedState: 'failed' });
    expect(message).toMatch(/^could not be started: .*\/nowhere\/relay/);
    await node.define('relay-node', { command: ['/bin/sleep', '600'] });
    node.wants([workload()]);
    await node.starts('relay-node');
  });
});

describe('a health check', () => {
  const timing = { intervalSeconds: 1, timeoutSeconds: 1, failureThreshold: 2 };
  const flag = (): string => join(node.directory, 'well');
  const exec = (): Workload['healthCheck'] => ({
    type: 'exec',
    command: ['/usr/bin/test', '-e', flag()],
    ...timing,
  });
  const allowed = (): Promise<void> =>
    node.define('relay-node', {
      command: ['/bin/sleep', '600'],
      execChecks: [['/usr/bin/test', '-e', flag()]],
    });

  it('that fails makes the service degraded, and has it restarted', async () => {
    await allowed();
    await writeFile(flag(), '');
    node.wants([workload({ healthCheck: exec() })]);
    await node.seen('workload.changed', { reportedState: 'running', health: 'healthy' });
    await rm(flag());
    await node.seen('workload.changed', { reportedState: 'degraded', health: 'unhealthy' });
    await writeFile(flag(), '');
    await node.seen('workload.changed', {
      reportedState: 'failed',
      message: 'was unhealthy: the check ended with exit code 1; next start 0.1 s after that',
    });
    await node.seen('workload.started', {}, 1);
  });

  it('that fails leaves a service alone that is never to be restarted, and may recover', async () => {
    await allowed();
    await writeFile(flag(), '');
    const restartPolicy = { ...workload().restartPolicy, mode: 'never' as const };
    node.wants([workload({ healthCheck: exec(), restartPolicy })]);
    await node.seen('workload.changed', { health: 'healthy' });
    await rm(flag());
    await node.seen('workload.changed', { reportedState: 'degraded', health: 'unhealthy' });
    await writeFile(flag(), '');
    await node.seen('workload.changed', { reportedState: 'running', health: 'healthy' }, 3);
    expect(node.events('workload.started')).toHaveLength(1);
  });

  it.each<[string, () => Workload['healthCheck'], string]>([
    [
      'a command that the host has not named',
      exec,
      'the command of the health check is none that this host allows',
    ],
    [
      'a URL of another host',
      () => ({ type: 'http', url: 'http://192.0.2.1/', ...timing }),
      'the URL of the health check is not one of this host',
    ],
  ])('by %s is not made, and said not to be', async (_, healthCheck, message) => {
    node.wants([workload({ healthCheck: healthCheck() })]);
    await node.seen('workload.changed', { reportedState: 'degraded', health: 'unknown', message });
  });
});

describe('what a dead agent left behind', () => {
  const log = new Log('error', () => undefined);
  const record = (): string => join(node.workloads, 'relay-node', 'process.json');

  /** A service with a child, as an agent leaves them that was killed: on record, and of no other concern. */
  async function leftover(): Promise<[first: number, child: number]> {
    const instanceId = uuid();
    const process = spawn('/bin/sh', ['-c', 'sleep 600 & echo $!; exec sleep 600'], {
      detached: true,
      env: { PATH: '/usr/bin:/bin', RAP_INSTANCE_ID: instanceId },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [said] = (await once(process.stdout, 'data')) as [Buffer];
    process.stdout.destroy();
    const pid = process.pid ?? 0;
    await writeRecord({
      instanceId,
      pid,
      started: processRow(pid)?.started,
      stopSignal: 'SIGTERM',
      stopTimeoutMs: 5_000,
    });
    return [pid, Number(said.toString())];
  }

  async function writeRecord(content: Fields): Promise<void> {
    await mkdir(join(node.workloads, 'relay-node'), { recursive: true });
    await writeFile(record(), JSON.stringify(content));
  }

  it('is ended before anything is started', async () => {
    const pids = await leftover();
    expect(pids.filter(isAlive)).toEqual(pids);
    await endLeftovers(node.workloads, log);
    expect(pids.filter(isAlive)).toEqual([]);
    expect(await readdir(join(node.workloads, 'relay-node'))).not.toContain('process.json');
  });

  it('is ended also where only a child of it is left', async () => {
    const [first, child] = await leftover();
    process.kill(first, 'SIGKILL');
    while (isAlive(first)) await new Promise(setImmediate);
    expect(isAlive(child)).toBe(true);
    await endLeftovers(node.workloads, log);
    expect(isAlive(child)).toBe(false);
  });

  it('is never mistaken for another process that has its number now', async () => {
    const stranger = spawn('/bin/sleep', ['600'], { detached: true, stdio: 'ignore' });
    await once(stranger, 'spawn');
    const pid = stranger.pid ?? 0;
    const started = `${HOST_CLOCK.bootId}:1`;
    await writeRecord({ instanceId: uuid(), pid, started, stopSignal: 'SIGKILL', stopTimeoutMs: 0 });
    await endLeftovers(node.workloads, log);
    expect(isAlive(pid)).toBe(true);
    stranger.kill('SIGKILL');
    await once(stranger, 'exit');
  });

  it.each(['', '{', '[]', '{"pid": "all"}'])('names no process in a damaged record: %p', async (text) => {
    await mkdir(join(node.workloads, 'relay-node'), { recursive: true });
    await writeFile(record(), text);
    await expect(endLeftovers(node.workloads, log)).resolves.toBeUndefined();
  });
});
