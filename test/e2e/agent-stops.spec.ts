import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { finishEnrollment } from '../../agent/agent-session.js';
import { Log } from '../../agent/log.js';
import { runNode } from '../../agent/node-run.js';
import { ServerClock } from '../../agent/server-clock.js';
import { ServerPresence } from '../../agent/server-presence.js';
import { StateStore } from '../../agent/state-store.js';
import { AgentFleet } from '../support/agent-fleet.js';
import { created, unique } from '../support/given.js';
import { nodeServices } from '../support/node-services.js';
import { until } from '../support/until.js';

/** Real processes on a busy machine. */
const TIMEOUT_MS = 600_000;
const LONG_MS = 3_600_000;
const TYPE = 'config-storage';
const STATUS = `/workloads/${TYPE}/status`;

let fleet: AgentFleet;
beforeAll(async () => {
  fleet = await AgentFleet.open();
}, 300_000);
afterAll(() => fleet?.close());

/** Ends what `runHere` has begun. */
let endHere = async (): Promise<void> => undefined;
afterEach(() => endHere());

let name: string;
let nodeId: string;
let workload: string;
/** A node with a role that covers its service, and no agent yet: only one may run, all of them have one proxy. */
beforeEach(async () => {
  name = unique('stopping');
  const clusterId = (await fleet.cluster()).id;
  nodeId = await fleet.admit(name, clusterId, {}, '--no-discover');
  workload = `/clusters/${clusterId}/nodes/${nodeId}/workloads/${TYPE}`;
  created(await fleet.plane.api.post(`/clusters/${clusterId}/role-assignments`, { nodeId, role: TYPE }));
}, TIMEOUT_MS);

/** The node is to run a service that is this command on its host. */
async function give(command: readonly string[]): Promise<void> {
  const folder = join(fleet.host.directory(name), 'services');
  await mkdir(folder, { mode: 0o700, recursive: true });
  const definition = JSON.stringify({ command, stopTimeoutSeconds: 600 });
  await writeFile(join(folder, `${TYPE}.json`), definition, { mode: 0o600 });
  created(await fleet.plane.api.put(workload, { desiredState: 'running', runtime: 'native' }));
}
const reportedState = async (): Promise<string> => (await fleet.plane.api.get(workload)).body.reportedState;
const reported = (state: string) => until(reportedState, (last) => last === state);
const instances = async (): Promise<string[]> =>
  (await nodeServices(nodeId)).map(({ instanceId }) => instanceId);

/** The agent of the node in this process, which waits so long for the control plane when it stops. */
async function runHere(farewellMs: number) {
  await give(['/bin/sleep', '600']);
  const states: unknown[] = [];
  const log = new Log('info', (line) => {
    const { event, reportedState: now } = JSON.parse(line) as Record<string, unknown>;
    if (event === 'workload.changed') states.push(now);
  });
  const store = new StateStore(fleet.host.directory(name));
  const stop = new AbortController();
  const session = { store, clock: new ServerClock(), presence: new ServerPresence(log), log, stop };
  const asked = await store.readState();
  if (asked === null) throw new Error('the node has not asked to join');
  const key = await store.readKey(asked.keyThumbprint);
  const state = await finishEnrollment(session, asked, key, { token: null, wait: true });
  if (state === null) throw new Error('stopped');
  const running = runNode(session, state, undefined, farewellMs);
  endHere = () => {
    stop.abort();
    return running.catch(() => undefined);
  };
  const came = (wanted: string) =>
    until(
      async () => states.at(-1),
      (last) => last === wanted,
    );
  return { stop, running, came };
}

it.each([
  ['a heartbeat', '/me/heartbeat', 'running'],
  ['a report', STATUS, 'starting'],
])(
  'says last that its services have stopped, though %s was still on its way',
  async (_, call, said) => {
    const first = call === STATUS ? fleet.proxy.delay(call) : null;
    const { stop, running, came } = await runHere(LONG_MS);
    if (first === null) await reported(said);
    const onItsWay = first ?? fleet.proxy.delay(call);
    await onItsWay.sent;
    await came('running');
    stop.abort();
    await came('stopped');
    // Were it not to wait, it would say its last words by now, and end.
    await Promise.race([running, sleep(500)]);
    expect(await onItsWay.arrive()).toBe(200);
    await running;
    expect(await reportedState()).toBe('stopped');
    const { items } = (await fleet.plane.api.get(`${workload}/history`)).body;
    expect(items[1].reportedState).toBe(said);
  },
  TIMEOUT_MS,
);

it(
  'ends when its time is over, though nobody answers any more',
  async () => {
    const { stop, running, came } = await runHere(100);
    await reported('running');
    await came('running');
    let beaten: () => void = () => undefined;
    const beat = new Promise<void>((resolve) => {
      beaten = resolve;
    });
    const silent = createServer(({ url }) => url?.endsWith('/me/heartbeat') && beaten());
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    fleet.proxy.leadTo(`http://127.0.0.1:${(silent.address() as AddressInfo).port}`);
    try {
      await beat;
      const stoppedAt = performance.now();
      stop.abort();
      await running;
      // By itself a call ends after 15 s.
      expect(performance.now() - stoppedAt).toBeLessThan(10_000);
      await came('stopped');
      expect(await reportedState()).toBe('running');
    } finally {
      fleet.proxy.leadTo(fleet.plane.url);
      silent.closeAllConnections();
      silent.close();
    }
  },
  TIMEOUT_MS,
);

/** The node is to run a service that ends once it was asked to and this function was called. */
async function giveStubborn(): Promise<() => Promise<void>> {
  const file = join(fleet.host.directory(name), 'may-end');
  const script = `trap "asked=1" TERM; while [ -z "$asked" ] || [ ! -e "${file}" ]; do sleep 0.05; done`;
  await give(['/bin/sh', '-c', script]);
  await reported('running');
  return () => writeFile(file, '');
}
const isStopping = ({ reportedState: now }: Record<string, unknown>) => now === 'stopping';

it(
  'ends at once when it is told to stop twice, and its successor ends what it has left behind',
  async () => {
    const agent = fleet.run(name);
    const letEnd = await giveStubborn();
    const [left] = await instances();
    agent.signal('SIGTERM');
    await agent.seen('workload.changed', isStopping);
    expect(await agent.end('SIGTERM')).toEqual({ code: null, signal: 'SIGTERM' });
    expect(await instances()).toContain(left);
    await letEnd();
    const next = fleet.run(name);
    await next.seen('workload.started');
    expect(await instances()).not.toContain(left);
    expect(await next.end('SIGTERM')).toEqual({ code: 0, signal: null });
  },
  TIMEOUT_MS,
);

it(
  'goes on stopping its services when its launcher tells it to, and somebody else does as well',
  async () => {
    const launcher = fleet.host.start(name, 'launch');
    const { pid } = await launcher.seen('launcher.agent_started');
    const letEnd = await giveStubborn();
    launcher.signal('SIGTERM');
    await launcher.seen('workload.changed', isStopping);
    process.kill(Number(pid), 'SIGTERM');
    await letEnd();
    expect(await launcher.ended).toEqual({ code: 0, signal: null });
    expect(launcher.all('launcher.agent_ended')).toMatchObject([{ detail: 'ended with exit code 0' }]);
    expect(await instances()).toEqual([]);
  },
  TIMEOUT_MS,
);
