import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { AgentFleet } from '../support/agent-fleet.js';
import type { AgentProcess } from '../support/agent-process.js';
import { created, given } from '../support/given.js';
import type { Lease } from '../support/vpn.js';

/** Real processes on a busy machine. */
const TIMEOUT_MS = 300_000;
/** Of leases that end by their time. */
const SHORT_SECONDS = 20;
/** So long that nobody hears of anything by a renewal, or by the end of a lease. */
const LONG_SECONDS = 3_600;
const NODES = ['one', 'two'] as const;
type Name = (typeof NODES)[number];

/**
 * The tunnel is a process of its own; who begins and ends it is written down, with the token and the time, before the
 * tunnel's file comes or goes: who sees the file finds the line.
 */
const WRITE_DOWN = 'echo "$ACT $RAP_NODE_ID $RAP_VPN_FENCING_TOKEN $(date +%s%N)" >> "$ACTS"';
const START = `setsid sleep 600 > /dev/null 2>&1 < /dev/null & PID=$!; ACT=start; ${WRITE_DOWN}; echo $PID > "$TUNNEL"`;
const STOP = `[ ! -e "$TUNNEL" ] || { kill $(cat "$TUNNEL"); ACT=stop; ${WRITE_DOWN}; rm "$TUNNEL"; }`;

interface Act {
  act: 'start' | 'stop';
  nodeId: string;
  token: number;
  atMs: number;
}

let fleet: AgentFleet;
beforeAll(async () => {
  fleet = await AgentFleet.open();
}, 300_000);
afterAll(() => fleet?.close());

let round = 0;
let clusterId: string;
let acts: string;
let nodeIds: Record<Name, string>;
let agents: Partial<Record<Name, AgentProcess>>;
beforeEach(async () => {
  round += 1;
  agents = {};
  clusterId = (await fleet.cluster()).id;
  acts = join(fleet.host.directory(`acts-${round}`));
  const admitted = await Promise.all(
    NODES.map(async (name) => {
      const nodeId = await fleet.admit(
        stateOf(name),
        clusterId,
        {},
        '--no-discover',
        '--capability',
        'can_run_vpn_exit',
      );
      const role = { nodeId, role: 'vpn-exit' };
      created(await fleet.plane.api.post(`/clusters/${clusterId}/role-assignments`, role));
      await drive(name);
      return nodeId;
    }),
  );
  nodeIds = { one: String(admitted[0]), two: String(admitted[1]) };
}, TIMEOUT_MS);

afterEach(() => Promise.all(Object.values(agents).map((agent) => agent.end('SIGKILL'))));

const stateOf = (name: Name) => `${name}-${round}`;
const tunnelOf = (name: Name) => join(fleet.host.directory(stateOf(name)), 'tunnel');
const isUp = (name: Name) => existsSync(tunnelOf(name));

/** Gives the host the commands by which it runs tunnels. */
async function drive(name: Name, start: string = START): Promise<void> {
  const directory = fleet.host.directory(stateOf(name));
  await mkdir(directory, { recursive: true });
  const sh = (script: string) => ['/bin/sh', '-c', script];
  const env = { TUNNEL: tunnelOf(name), ACTS: acts };
  const config = { driver: 'command', start: sh(start), stop: sh(STOP), env, stopTimeoutSeconds: 5 };
  await writeFile(join(directory, 'vpn-driver.json'), JSON.stringify(config));
}

function run(name: Name): AgentProcess {
  const agent = fleet.run(stateOf(name));
  agents[name] = agent;
  return agent;
}

/** A connection that both may hold. Returns its path. */
async function connection(leaseTtlSeconds: number): Promise<string> {
  const input = { allowedNodeIds: Object.values(nodeIds), leaseTtlSeconds };
  return `/clusters/${clusterId}/vpn-connections/${(await given(fleet.plane).vpnConnection(clusterId, input)).id}`;
}

/** The lease, once the node has one. */
const heldBy = (path: string, name: Name): Promise<Lease> =>
  fleet.until(`${path}/lease`, ({ ownerNodeId }) => ownerNodeId === nodeIds[name]) as Promise<Lease>;

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function written(): Promise<Act[]> {
  const text = existsSync(acts) ? await readFile(acts, 'utf8') : '';
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [act, nodeId, token, at] = line.split(' ');
      return { act: act as Act['act'], nodeId: String(nodeId), token: Number(token), atMs: Number(at) / 1e6 };
    });
}

/** Fails where a tunnel is begun while another one is up, or with a token that is not above that before. */
async function expectOneAfterTheOther(): Promise<void> {
  let up: Act | null = null;
  let highest = 0;
  for (const act of await written()) {
    if (act.act === 'start') {
      expect(up).toBeNull();
      expect(act.token).toBeGreaterThan(highest);
      highest = act.token;
      up = act;
    } else {
      expect([act.nodeId, act.token]).toEqual([up?.nodeId, up?.token]);
      up = null;
    }
  }
}

describe('an agent that keeps a lease', () => {
  it(
    'has its tunnel up with the token of the lease, renews it, and gives it back when it is stopped',
    async () => {
      // Renewed soon, and not lost on a machine that lets an agent wait.
      const path = await connection(SHORT_SECONDS);
      const agent = run('one');
      const { fencingToken, acquiredAt } = await heldBy(path, 'one');
      await until(() => isUp('one'));
      expect(await written()).toEqual([
        expect.objectContaining({ act: 'start', nodeId: nodeIds.one, token: fencingToken }),
      ]);
      const assigned = await fleet.until(
        `${path}/assignments`,
        ({ items }) =>
          items.find((item: { nodeId: string }) => item.nodeId === nodeIds.one)?.status === 'assigned',
      );
      expect(assigned.items).toHaveLength(2);
      const renewed = await fleet.until(`${path}/lease`, ({ renewedAt }) => renewedAt > acquiredAt);
      expect(renewed.fencingToken).toBe(fencingToken);
      await agent.end('SIGTERM');
      expect(isUp('one')).toBe(false);
      const { items } = (await fleet.plane.api.get(`${path}/leases`)).body;
      expect(items).toEqual([expect.objectContaining({ fencingToken, status: 'released' })]);
    },
    TIMEOUT_MS,
  );

  it(
    'leaves no tunnel up when it is killed, and comes back with a higher token',
    async () => {
      const path = await connection(SHORT_SECONDS);
      run('one');
      const first = await heldBy(path, 'one');
      await until(() => isUp('one'));
      agents.one?.signal('SIGKILL');
      await until(() => !isUp('one'));
      const { expiresAt } = ((await fleet.plane.api.get(`${path}/leases`)).body as { items: Lease[] })
        .items[0] as Lease;
      const [, stop] = await written();
      expect(stop).toMatchObject({ act: 'stop', nodeId: nodeIds.one, token: first.fencingToken });
      expect(stop?.atMs).toBeLessThan(Date.parse(expiresAt));
      // The lease is still its own by the service; whoever comes back is told so, and begins the tunnel anew.
      run('two');
      const second = await heldBy(path, 'two');
      expect(second.fencingToken).toBeGreaterThan(first.fencingToken);
      await until(() => isUp('two'));
      await expectOneAfterTheOther();
    },
    TIMEOUT_MS,
  );

  it(
    'that stands still has its tunnel taken down in time, and begins none when it goes on',
    async () => {
      const path = await connection(SHORT_SECONDS);
      const standing = run('one');
      const first = await heldBy(path, 'one');
      await until(() => isUp('one'));
      run('two');
      standing.signal('SIGSTOP');
      await until(() => !isUp('one'));
      const second = await heldBy(path, 'two');
      await until(() => isUp('two'));
      standing.signal('SIGCONT');
      await standing.seen('vpn.driver_down');
      const { items } = (await fleet.plane.api.get(`${path}/leases`)).body as { items: Lease[] };
      const [, ended] = items;
      expect(ended).toMatchObject({ fencingToken: first.fencingToken, status: 'expired' });
      const [start, stop, next, ...more] = await written();
      expect([start?.token, stop?.token, next?.token]).toEqual([
        first.fencingToken,
        first.fencingToken,
        second.fencingToken,
      ]);
      expect(more).toEqual([]);
      expect(stop?.atMs).toBeLessThan(Date.parse(String(ended?.expiresAt)));
      await expectOneAfterTheOther();
    },
    TIMEOUT_MS,
  );

  it(
    'hands over within moments, though its release is lost once, and the other follows without an overlap',
    async () => {
      const path = await connection(LONG_SECONDS);
      run('one');
      await heldBy(path, 'one');
      const other = run('two');
      await other.seen('snapshot.accepted');
      await until(() => isUp('one'));
      const lost = fleet.proxy.lose('/lease/release', 'request_lost');
      created(await fleet.plane.api.post(`${path}/lease/handover`, { toNodeId: nodeIds.two }));
      await lost;
      await heldBy(path, 'two');
      await until(() => isUp('two'));
      expect(isUp('one')).toBe(false);
      // It has not taken it anew meanwhile, though the lease was still its own.
      expect(agents.one?.all('vpn.lease_held')).toHaveLength(1);
      expect((await written()).map(({ act, nodeId }) => [act, nodeId])).toEqual([
        ['start', nodeIds.one],
        ['stop', nodeIds.one],
        ['start', nodeIds.two],
      ]);
      await expectOneAfterTheOther();
    },
    TIMEOUT_MS,
  );

  it(
    'takes up no lease that a release of its own, still on its way, would end under it',
    async () => {
      const path = await connection(LONG_SECONDS);
      run('one');
      const first = await heldBy(path, 'one');
      await until(() => isUp('one'));
      const release = fleet.proxy.delay('/lease/release');
      agents.one?.signal('SIGTERM');
      await release.sent;
      await agents.one?.ended;
      run('one');
      await until(() => isUp('one'));
      const second = await heldBy(path, 'one');
      expect(second.fencingToken).toBeGreaterThan(first.fencingToken);
      expect(await release.arrive()).toBe(200);
      expect(await heldBy(path, 'one')).toMatchObject({ fencingToken: second.fencingToken });
      expect((await written()).map(({ act, token }) => [act, token])).toEqual([
        ['start', first.fencingToken],
        ['stop', first.fencingToken],
        ['start', second.fencingToken],
      ]);
    },
    TIMEOUT_MS,
  );

  it(
    'hears of a fence within moments, and takes its tunnel down',
    async () => {
      const path = await connection(LONG_SECONDS);
      run('one');
      const { fencingToken } = await heldBy(path, 'one');
      await until(() => isUp('one'));
      created(await fleet.plane.api.post(`${path}/lease/fence`, { reason: 'test', holdSeconds: 600 }));
      await until(() => !isUp('one'));
      expect(await written()).toEqual([
        expect.objectContaining({ act: 'start', token: fencingToken }),
        expect.objectContaining({ act: 'stop', token: fencingToken }),
      ]);
    },
    TIMEOUT_MS,
  );

  it(
    'whose tunnel does not come up says so and lets another have the connection',
    async () => {
      await drive('one', 'exit 3');
      const path = await connection(LONG_SECONDS);
      run('one');
      const status = ({ items }: { items: { nodeId: string; status: string }[] }) =>
        items.find(({ nodeId }) => nodeId === nodeIds.one)?.status;
      await fleet.until(`${path}/assignments`, (body) => status(body) === 'blocked');
      run('two');
      await heldBy(path, 'two');
      await until(() => isUp('two'));
      expect((await written()).map(({ nodeId }) => nodeId)).toEqual([nodeIds.two]);
    },
    TIMEOUT_MS,
  );

  it(
    'tells the highest token that it has ever seen with each acquire',
    async () => {
      const path = await connection(LONG_SECONDS);
      const agent = run('one');
      const { fencingToken } = await heldBy(path, 'one');
      // The service may know of the lease before the agent does, which writes the token down before its tunnel begins.
      await agent.seen('vpn.lease_held');
      await agent.end('SIGTERM');
      const file = join(fleet.host.directory(stateOf('one')), 'vpn', 'tokens.json');
      const [connectionId, token] = Object.entries(JSON.parse(await readFile(file, 'utf8')))[0] ?? [];
      expect([connectionId, token]).toEqual([path.split('/').at(-1), fencingToken]);
      // As after a restore: the service has never given out what the node has seen.
      await writeFile(file, JSON.stringify({ [String(connectionId)]: fencingToken + 2 ** 32 }));
      run('one');
      const { term } = await fleet.until(`/clusters/${clusterId}/authority`, (body) => body.term > 1);
      expect(term).toBe(2);
    },
    TIMEOUT_MS,
  );
});
