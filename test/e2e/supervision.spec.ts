import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { AgentFleet } from '../support/agent-fleet.js';
import type { AgentProcess } from '../support/agent-process.js';
import type { Answer } from '../support/api.js';
import { created } from '../support/given.js';
import { nodeServices } from '../support/node-services.js';
import { until } from '../support/until.js';

/** Real processes on a busy machine. */
const TIMEOUT_MS = 600_000;
const ECHO = 'synthetic.echo';
const AT_ONCE = { mode: 'always', initialDelaySeconds: 0, maxDelaySeconds: 1, resetAfterSeconds: 600 };
const SLEEP = ['/bin/sleep', '600'];
const RUNNING = { desiredState: 'running', runtime: 'native', restartPolicy: AT_ONCE };

let fleet: AgentFleet;
beforeAll(async () => {
  fleet = await AgentFleet.open();
}, 300_000);
afterAll(() => fleet?.close());

let counter = 0;
let name: string;
let clusterId: string;
let nodeId: string;
let path: string;
let assignmentId: string;
let agent: AgentProcess;
/** A running node with a role that needs no capability. */
beforeEach(async () => {
  counter += 1;
  name = `node-${counter}`;
  clusterId = (await fleet.cluster()).id;
  const reported = ['can_run_update_cache', 'can_run_rdp_worker'];
  const capabilities = ['--no-discover', ...reported.flatMap((each) => ['--capability', each])];
  nodeId = await fleet.admit(name, clusterId, {}, ...capabilities);
  path = `/clusters/${clusterId}/nodes/${nodeId}`;
  const role = { nodeId, role: 'config-storage' };
  const assignment = await fleet.plane.api.post(`/clusters/${clusterId}/role-assignments`, role);
  assignmentId = (created(assignment) as { id: string }).id;
  agent = fleet.run(name);
  await agent.seen('roles.changed');
}, TIMEOUT_MS);

const want = async (body: object = RUNNING, serviceType = ECHO): Promise<void> =>
  void created(await fleet.plane.api.put(`${path}/workloads/${serviceType}`, body));
/** The workload, once the control plane sees it so. */
const seen = (like: Record<string, unknown>, serviceType = ECHO): Promise<Answer['body']> =>
  fleet.until(`${path}/workloads/${serviceType}`, (body) =>
    Object.entries(like).every(([member, value]) => body[member] === value),
  );
const services = () => nodeServices(nodeId);
/** Says what a service is on this host. */
async function define(serviceType: string, definition: object): Promise<void> {
  const folder = join(fleet.host.directory(name), 'services');
  await mkdir(folder, { mode: 0o700, recursive: true });
  await writeFile(join(folder, `${serviceType}.json`), JSON.stringify(definition), { mode: 0o600 });
}
/** Of the one service that runs. */
async function onlyPid(): Promise<number> {
  const found = await services();
  expect(found).toHaveLength(1);
  return found[0]?.pid ?? 0;
}

/** The control plane's time as the agent has it, which only hears of it, and in steps of some milliseconds. */
async function agentTime(): Promise<number> {
  const text = await readFile(join(fleet.host.directory(name), 'contact.json'), 'utf8');
  return Date.now() + (JSON.parse(text) as { clockOffsetMs: number }).clockOffsetMs;
}
const STEP_MS = 50;

/** Where the echo says last in its log that it listens, as the control plane shows it. */
async function echoUrl(instanceId: string, starts: number): Promise<string> {
  const lines = (tail: string) => [...tail.matchAll(/listening on 127\.0\.0\.1 port (\d+)/g)];
  const log = await fleet.until(
    `${path}/workloads/${ECHO}/logs`,
    (body) => body.instanceId === instanceId && lines(body.tail).length === starts,
  );
  return `http://127.0.0.1:${lines(log.tail).at(-1)?.[1]}`;
}

describe('a real agent with a real service', () => {
  it(
    'starts a child process that serves, loses it to kill -9 and regains it, and the control plane sees it all',
    async () => {
      // Long enough that its failure is told, also while another report is under way.
      const restartPolicy = { ...AT_ONCE, initialDelaySeconds: 5, maxDelaySeconds: 5 };
      await want({ ...RUNNING, restartPolicy, config: { port: 0, 'x-purpose': 'test' } });
      const first = await seen({ reportedState: 'running', inSync: true });
      const url = await echoUrl(first.instanceId, 1);
      expect(await (await fetch(`${url}/here`)).json()).toMatchObject({
        service: ECHO,
        instanceId: first.instanceId,
        nodeId,
        url: '/here',
      });
      const echoed = await fetch(url, { method: 'POST', body: 'what comes goes back' });
      expect(await echoed.text()).toBe('what comes goes back');

      process.kill(await onlyPid(), 'SIGKILL');
      await agent.seen('workload.started', ({ instanceId }) => instanceId !== first.instanceId);
      const second = await fleet.until(
        `${path}/workloads/${ECHO}`,
        (body) => body.inSync && body.instanceId !== first.instanceId,
      );
      await onlyPid();
      expect(await (await fetch(await echoUrl(second.instanceId, 2))).json()).toMatchObject({
        instanceId: second.instanceId,
      });
      const { items } = (await fleet.plane.api.get(`${path}/workloads/${ECHO}/history`)).body;
      // A start that is over while another report is under way is not told any more.
      const states = items.map((item: { reportedState: string }) => item.reportedState).reverse();
      expect(states.filter((state: string) => state !== 'starting')).toEqual([
        'running',
        'failed',
        'running',
      ]);
      const failed = items.find((item: { reportedState: string }) => item.reportedState === 'failed');
      expect(failed.message).toBe('was killed by SIGKILL; next start 5 s after that');
    },
    TIMEOUT_MS,
  );

  it(
    'is checked, falls ill, is restarted, and shows as degraded in the meantime',
    async () => {
      const flag = join(fleet.host.directory(name), 'well');
      const command = ['/usr/bin/test', '-e', flag];
      await define('config-storage', { command: SLEEP, version: '7.1.0', execChecks: [command] });
      await writeFile(flag, '');
      // Failing once is enough, and taking long on a busy machine is no failure.
      const timing = { intervalSeconds: 1, timeoutSeconds: 60, failureThreshold: 1 };
      const healthCheck = { type: 'exec', command, ...timing };
      const restartPolicy = { ...AT_ONCE, initialDelaySeconds: 1 };
      await want({ ...RUNNING, version: '7.1.0', healthCheck, restartPolicy }, 'config-storage');
      await seen({ reportedState: 'running', health: 'healthy', inSync: true }, 'config-storage');
      await rm(flag);
      await agent.seen('workload.changed', ({ reportedState }) => reportedState === 'degraded');
      await writeFile(flag, '');
      await agent.seen('workload.changed', ({ reportedState }) => reportedState === 'failed');
      await seen({ reportedState: 'running', health: 'healthy', inSync: true }, 'config-storage');
      const { items } = (await fleet.plane.api.get(`${path}/workloads/config-storage/history`)).body;
      expect(items.map((item: { reportedState: string }) => item.reportedState)).toContain('degraded');
    },
    TIMEOUT_MS,
  );

  it(
    'stops what loses its role, is disabled, is wanted no more or belongs to an identity that is over',
    async () => {
      const stopped = async (cause: () => Promise<unknown>): Promise<void> => {
        await cause();
        while ((await services()).length > 0) await sleep(20);
      };
      const running = async (cause: () => Promise<unknown>): Promise<void> => {
        await cause();
        while ((await services()).length === 0) await sleep(20);
      };
      const { api } = fleet.plane;
      const act = (at: string, body?: object) => async () => created(await api.post(at, body));
      const assignment = `/clusters/${clusterId}/role-assignments/${assignmentId}`;
      await running(() => want());
      await stopped(act(`${assignment}/disable`));
      await running(act(`${assignment}/enable`));
      await stopped(act(`${path}/disable`));
      await running(act(`${path}/enable`));
      await stopped(() => want({ ...RUNNING, desiredState: 'stopped' }));
      await seen({ reportedState: 'stopped', inSync: true });
      await running(() => want());
      await stopped(async () => api.delete(`${path}/workloads/${ECHO}`));
      await running(() => want());
      await stopped(act(`${path}/revoke`, { reason: 'The host was stolen.' }));
      expect((await agent.ended).code).toBe(4);
    },
    TIMEOUT_MS,
  );

  it(
    'begins and ends a service at the instants at which its role does, while the control plane is away',
    async () => {
      const { api } = fleet.plane;
      const assignments = `/clusters/${clusterId}/role-assignments`;
      await want();
      await agent.seen('workload.started');
      let bounded = assignmentId;
      /** Lets the service be covered by nothing but a role for some seconds that begin so much later. */
      const boundTo = async (leadMs: number): Promise<{ from: number; to: number; generation: number }> => {
        created(await api.delete(`${assignments}/${bounded}`));
        const [from, to] = [Date.now() + leadMs, Date.now() + leadMs + 20_000];
        const bounds = { validFrom: new Date(from).toISOString(), validUntil: new Date(to).toISOString() };
        const role = { nodeId, role: 'update-cache', ...bounds };
        bounded = (created(await api.post(assignments, role)) as { id: string }).id;
        const { generation } = (await api.get(`${path}/snapshot`)).body;
        await agent.seen('snapshot.accepted', (line) => line.generation === generation);
        // Until then one may be there, or even come up, that was begun before the agent had heard of this.
        await until(
          async () => agent.all('workload.changed').at(-1)?.reportedState,
          (state) => state === 'stopped',
        );
        return { from, to, generation };
      };
      // On a busy machine it may have begun before all of that; then once more, from later on.
      let leadMs = 3_000;
      let bound = await boundTo(leadMs);
      while (Date.now() >= bound.from) {
        leadMs *= 2;
        bound = await boundTo(leadMs);
      }
      const { from, to, generation } = bound;
      fleet.proxy.cut();
      try {
        while ((await services()).length === 0) await sleep(20);
        expect(await agentTime()).toBeGreaterThanOrEqual(from - STEP_MS);
        while ((await services()).length > 0) await sleep(20);
        expect(await agentTime()).toBeGreaterThanOrEqual(to - STEP_MS);
        // Nothing else would have ended it: the snapshot is good for a day.
        expect(Date.now() - to).toBeLessThan(60_000);
      } finally {
        fleet.proxy.mend();
      }
      expect((await api.get(`${path}/snapshot`)).body.generation).toBe(generation);
    },
    TIMEOUT_MS,
  );

  it(
    'reports what it cannot run, and never as running',
    async () => {
      await want({ ...RUNNING, runtime: 'container' });
      expect(await seen({ reportedState: 'unsupported' })).toMatchObject({
        inSync: false,
        outOfSyncReason: 'unsupported',
      });
      await want(RUNNING, 'config-storage');
      const { message } = await seen({ reportedState: 'unsupported' }, 'config-storage');
      expect(message).toBe('this host has no service config-storage');
      const { api } = fleet.plane;
      created(await api.post(`/clusters/${clusterId}/role-assignments`, { nodeId, role: 'rdp-worker' }));
      await want(RUNNING, 'rdp-worker');
      await seen({ reportedState: 'unsupported', outOfSyncReason: 'unsupported' }, 'rdp-worker');
      await want({ ...RUNNING, config: { adapter_contract_probe: true } }, 'rdp-worker');
      const probe = await seen({ reportedState: 'degraded', outOfSyncReason: 'degraded' }, 'rdp-worker');
      expect(probe.message).toContain('contract probe only, no RDP sessions');
      // A heartbeat may have told of the state before the report that has the log.
      const logs = `${path}/workloads/rdp-worker/logs`;
      const contract = await fleet.until(logs, ({ tail = '' }) => tail !== '');
      expect(JSON.parse(contract.tail)).toMatchObject({ probeOnly: true, payloadTraffic: 'none' });
      const { items } = (await api.get(`${path}/workloads/rdp-worker/history`)).body;
      const states = items.map((item: { reportedState: string }) => item.reportedState);
      expect(new Set(states)).toEqual(new Set(['degraded', 'unsupported']));
      expect(await services()).toEqual([]);
    },
    TIMEOUT_MS,
  );

  it(
    'reports at rest which version the host has, so that a stopped service of a wanted version is in sync',
    async () => {
      await define('config-storage', { command: SLEEP, version: '7.1.0' });
      const stopped = { ...RUNNING, desiredState: 'stopped', version: '7.1.0' };
      await want(stopped, 'config-storage');
      const like = { reportedState: 'stopped', reportedVersion: '7.1.0', inSync: true };
      await seen(like, 'config-storage'); // it has never run
      await want({ ...stopped, desiredState: 'running' }, 'config-storage');
      await seen({ ...like, reportedState: 'running' }, 'config-storage');
      await want(stopped, 'config-storage');
      await seen(like, 'config-storage');
      await want({ ...stopped, version: '7.2.0' }, 'config-storage');
      await seen({ ...like, inSync: false, outOfSyncReason: 'version_differs' }, 'config-storage');
      await define('config-storage', { command: SLEEP, version: '7.2.0' });
      await want({ ...stopped, version: '7.2.0', config: { round: 2 } }, 'config-storage');
      await seen({ ...like, reportedVersion: '7.2.0' }, 'config-storage');
    },
    TIMEOUT_MS,
  );

  it(
    'goes on with its services through an absence of the control plane, and stops them with itself',
    async () => {
      await want();
      await seen({ reportedState: 'running' });
      const pid = await onlyPid();
      fleet.proxy.cut();
      await agent.seen('server.away');
      expect(await onlyPid()).toBe(pid);
      fleet.proxy.mend();
      await agent.seen('server.back');
      expect(await onlyPid()).toBe(pid);
      expect(await agent.end('SIGTERM')).toEqual({ code: 0, signal: null });
      expect(await services()).toEqual([]);
      expect((await seen({ reportedState: 'stopped' })).inSync).toBe(false);
    },
    TIMEOUT_MS,
  );
});

/** Of the snapshots in a cluster whose nodes are soon on their own; the policy of an installation begins at a minute. */
const SHORT_LIVED = { lifetimeSeconds: 12, graceSeconds: 3 };

describe('an agent whose snapshots are short-lived', () => {
  it(
    'never loses one in contact, and once expiry and grace are over without, goes on or stops as each service was told',
    async () => {
      const { api, database } = fleet.plane;
      await database.query('ALTER TABLE cluster_policies DROP CONSTRAINT cluster_policies_lifetime');
      await database.query(
        'UPDATE cluster_policies SET snapshot_lifetime_seconds = $2, degraded_grace_seconds = $3 WHERE cluster_id = $1',
        [clusterId, SHORT_LIVED.lifetimeSeconds, SHORT_LIVED.graceSeconds],
      );
      // What all snapshots share never changes without it.
      await database.query('UPDATE clusters SET generation_base = generation_base + 1 WHERE id = $1', [
        clusterId,
      ]);
      for (const type of ['config-storage', 'update-cache']) await define(type, { command: SLEEP });
      created(await api.post(`/clusters/${clusterId}/role-assignments`, { nodeId, role: 'update-cache' }));
      await want({ ...RUNNING, whenControlPlaneLost: 'keep' }, 'config-storage');
      await want({ ...RUNNING, whenControlPlaneLost: 'stop' }, 'update-cache');
      for (const type of ['config-storage', 'update-cache']) await seen({ inSync: true }, type);
      const first = agent.all('snapshot.accepted').at(-1);
      await agent.seen(
        'snapshot.accepted',
        ({ generation, issuedAt }) =>
          generation === first?.generation && String(issuedAt) >= String(first?.expiresAt),
      );
      const before = await services();
      expect(before.map(({ serviceType }) => serviceType).sort()).toEqual(['config-storage', 'update-cache']);
      expect(agent.all('workload.started')).toHaveLength(2);
      expect(agent.all('roles.changed').flatMap(({ removed }) => removed)).toEqual([]);

      fleet.proxy.cut();
      const { message } = await agent.seen(
        'workload.changed',
        ({ serviceType, reportedState }) => serviceType === 'update-cache' && reportedState === 'stopped',
      );
      expect(message).toBe('the control plane has been lost for longer than the grace allows');
      const expiresAt = Date.parse(String(agent.all('snapshot.accepted').at(-1)?.expiresAt));
      const lapsedAt = expiresAt + SHORT_LIVED.graceSeconds * 1_000;
      expect(await agentTime()).toBeGreaterThanOrEqual(lapsedAt - STEP_MS);
      const kept = before.filter(({ serviceType }) => serviceType === 'config-storage');
      expect(await services()).toEqual(kept);
      process.kill(kept[0]?.pid ?? 0, 'SIGKILL'); // what is kept is kept alive, too
      await agent.seen('workload.started', ({ instanceId, serviceType }) =>
        serviceType === 'config-storage' ? instanceId !== kept[0]?.instanceId : false,
      );

      fleet.proxy.mend();
      while ((await services()).length < 2) await sleep(20);
      await seen({ reportedState: 'running', inSync: true }, 'update-cache');
    },
    TIMEOUT_MS,
  );
});

describe('an agent that is killed with -9', () => {
  /** Every instance that was ever seen to live beside another one. */
  async function doubles(watched: { isOver: boolean }): Promise<string[][]> {
    const found: string[][] = [];
    while (!watched.isOver) {
      const ids = [...new Set((await services()).map(({ instanceId }) => instanceId))];
      if (ids.length > 1) found.push(ids);
      await sleep(5);
    }
    return found;
  }

  it(
    'at any point leaves a state that can be read, and its successor ends up with one process, never two at once',
    async () => {
      await want();
      await seen({ reportedState: 'running' });
      const watched = { isOver: false };
      const watching = doubles(watched);
      await agent.end('SIGKILL');
      await onlyPid(); // it goes on, with nobody to watch it
      // Seeded, so that a failure comes again; the spread covers start, leftovers, first snapshot and first start.
      const delays = [0, 120, 250, 400, 600, 900];
      for (const [index, delay] of delays.entries()) {
        await want({ ...RUNNING, config: { 'x-round': index } });
        const next = fleet.run(name);
        await next.seen('started');
        await sleep(delay);
        await next.end('SIGKILL');
        const files = await readdir(fleet.host.directory(name));
        for (const file of files.filter((each) => each.endsWith('.json'))) {
          JSON.parse(await readFile(join(fleet.host.directory(name), file), 'utf8'));
        }
      }
      const last = fleet.run(name);
      await last.seen('workload.changed', ({ reportedState }) => reportedState === 'running');
      const directory = fleet.host.directory(name);
      // The service of an earlier round is in sync as well: only its configuration tells them apart.
      const config = () =>
        readFile(join(directory, 'workloads', ECHO, 'config.json'), 'utf8').then(JSON.parse);
      expect(await until(config, (read) => read['x-round'] === delays.length - 1)).toEqual({
        'x-round': delays.length - 1,
      });
      // It is written before there is a process, and the one before that is gone by then.
      const [only] = await until(services, (found) => found.length > 0);
      await seen({ instanceId: only?.instanceId, reportedState: 'running', inSync: true });
      await onlyPid();
      watched.isOver = true;
      expect(await watching).toEqual([]);
      expect(await last.end('SIGTERM')).toEqual({ code: 0, signal: null }); // while it runs it writes
      const left = (await readdir(directory, { recursive: true })).filter((file) => file.endsWith('.tmp'));
      expect(left).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
