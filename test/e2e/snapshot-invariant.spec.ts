import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { canonicalJson } from '../../src/common/json/canonical-json.js';
import { deadlocksOf } from '../support/conflicts.js';
import { contentFromFacts } from '../support/content-from-facts.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created } from '../support/given.js';
import { CHANGES, type Choice, isOfCluster, OPERATIONS, RandomCluster } from '../support/random-changes.js';
import { decodedPayload, type Payload, type WatchingNode } from '../support/watching-node.js';

const limits = {
  unknownCredentialsPerMinute: 100_000,
  principalPerMinute: 1_000_000,
  nodePerMinute: 1_000_000,
};
/** More of them by hand: `SNAPSHOT_RUNS=100`. */
const RUNS = Number(process.env.SNAPSHOT_RUNS ?? 2);
/** Changes under way at the same time. */
const AT_ONCE = 6;
const TIMEOUT_MS = 240_000 + RUNS * 60_000;

let plane: ControlPlane;
let second: ControlPlane;
beforeAll(async () => {
  // Without workers, whose work would be taken for that of the calls.
  plane = await startControlPlane({ config: { limits, role: 'api' } });
  second = await startControlPlane({ beside: plane, config: { limits, role: 'api' } });
});
afterAll(async () => {
  await second?.close();
  await plane?.close();
});

const numbers = fc.array(fc.nat({ max: 1_000 }), { minLength: 6, maxLength: 6 });
/** Every change once, in any order, with anything chosen in it. */
const eachOnce: fc.Arbitrary<Choice[]> = fc
  .tuple(
    fc.shuffledSubarray(CHANGES, { minLength: CHANGES.length }),
    fc.array(numbers, { minLength: CHANGES.length }),
  )
  .map(([names, all]) => names.map((change, index) => ({ change, numbers: all[index] ?? [] })));

/** A snapshot as the invariant sees it. */
interface Seen {
  generation: number;
  content: string;
}

function seen({ generation, issuedAt: _, expiresAt: __, ...content }: Payload): Seen {
  return { generation, content: canonicalJson(content) };
}

/** The present snapshots of a cluster's live nodes; each holds what the facts say, and nothing else. */
async function look({ id, nodes }: RandomCluster): Promise<Map<string, Seen>> {
  const wanted = await contentFromFacts(plane.api, id);
  const all = new Map<string, Seen>();
  for (const nodeId of new Set([...nodes.map(({ node }) => node.nodeId), ...wanted.keys()])) {
    const { status, body } = await plane.api.get(`/clusters/${id}/nodes/${nodeId}/snapshot`);
    expect(status).toBe(wanted.has(nodeId) ? 200 : 404);
    if (status !== 200) continue;
    const { generation: _, issuedAt: __, expiresAt: ___, ...content } = body;
    expect(content).toEqual(wanted.get(nodeId));
    all.set(nodeId, seen(body));
  }
  return all;
}

/** The same of a cluster that a call has made for itself, where nothing else tells what they should hold. */
async function lookAlong(clusterId: string): Promise<Map<string, Seen>> {
  const { items } = created(await plane.api.get(`/clusters/${clusterId}/nodes?limit=200`)) as {
    items: { nodeId: string }[];
  };
  const all = items.map(async ({ nodeId }): Promise<[string, Seen]> => {
    const answer = await plane.api.get(`/clusters/${clusterId}/nodes/${nodeId}/snapshot`);
    return [nodeId, seen(created(answer))];
  });
  return new Map(await Promise.all(all));
}

/** How many nodes `what` has changed; each has grown by one, and no other unless it concerns the cluster. */
function changedBy(what: string, before: Map<string, Seen>, after: Map<string, Seen>): number {
  let changed = [...before.keys()].filter((nodeId) => !after.has(nodeId)).length;
  for (const [nodeId, now] of after) {
    const old = before.get(nodeId);
    const isChanged = old?.content !== now.content;
    if (isChanged) changed += 1;
    if (old === undefined) continue; // it has joined
    const growth = now.generation - old.generation;
    const mayGrow = isOfCluster(what) && (growth > 0 || !isChanged);
    expect([what, isChanged, growth]).toEqual([what, isChanged, mayGrow ? growth : Number(isChanged)]);
  }
  return changed;
}

/** Calls that a cluster with nodes refuses, and how. */
const REFUSED = new Map([['archiveCluster', 'cluster_not_empty']]);
/** Calls that change what a snapshot holds, or who has one; each of the others changes none, as it is made here. */
const TELLING = [
  'replaceClusterPolicy',
  'updateNode',
  'disableNode',
  'enableNode',
  'revokeNode',
  'revokeNodeIdentity',
  'revokePlatformNode',
  'createRoleAssignment',
  'createBulkRoleAssignment',
  'disableRoleAssignment',
  'enableRoleAssignment',
  'deleteRoleAssignment',
  'createVpnConnection',
  'updateVpnConnection',
  'replaceVpnAllowedNodes',
  'replaceVpnRoutePolicies',
  'deleteVpnConnection',
  'putWorkload',
  'deleteWorkload',
  'startRollout',
  'rollBackRollout',
  'cancelRollout',
  'approveRolloutWave',
  'writeOffRolloutNode',
  'createEmergencyPin',
  'approveEmergencyPin',
  'liftEmergencyPin',
  'approveJoinRequest',
  'startTrustRotation',
];

describe('generations', () => {
  it(
    'grow with every change of the content, exactly for the nodes that it changes, or for all of a cluster',
    async () => {
      let changed = 0;
      const property = fc.asyncProperty(eachOnce, eachOnce, async (first, then) => {
        const [cluster, bystander] = await Promise.all([
          RandomCluster.make(plane, 3),
          RandomCluster.make(plane, 1),
        ]);
        const beside = await look(bystander);
        let before = await look(cluster);
        for (const step of [...first, ...then]) {
          await cluster.change(step);
          const after = await look(cluster);
          changed += changedBy(step.change, before, after);
          before = after;
        }
        expect(await look(bystander)).toEqual(beside);
        expect(await cluster.rotationPhases()).toContain('retire');
      });
      await fc.assert(property, { numRuns: RUNS, endOnFailure: true });
      expect(changed).toBeGreaterThan(10 * RUNS);
    },
    TIMEOUT_MS,
  );

  it(
    'grow with every call by which people and scripts change something, in any order, exactly for those that it changes',
    async () => {
      const anyOrder = fc.shuffledSubarray(OPERATIONS, { minLength: OPERATIONS.length });
      const property = fc.asyncProperty(anyOrder, async (operations) => {
        const cluster = await RandomCluster.make(plane, 3);
        for (const operation of operations) {
          const call = await cluster.prepare(operation);
          const place = /^\/clusters\/([0-9a-f-]{36})\//.exec(call.path)?.[1] ?? cluster.id;
          const lookThere = () => (place === cluster.id ? look(cluster) : lookAlong(place));
          const before = await lookThere();
          const { status, body } = await cluster.call(call);
          expect([operation, status < 300 ? null : body.code]).toEqual([
            operation,
            REFUSED.get(operation) ?? null,
          ]);
          const changed = changedBy(operation, before, await lookThere());
          expect([operation, changed > 0]).toEqual([operation, TELLING.includes(operation)]);
          await cluster.settle(call);
        }
      });
      await fc.assert(property, { numRuns: Math.ceil(RUNS / 2), endOnFailure: true });
    },
    TIMEOUT_MS,
  );

  it(
    'are never given to one content and then to another, whatever happens at the same time, on any instance',
    async () => {
      const property = fc.asyncProperty(eachOnce, eachOnce, async (first, then) => {
        const steps = [...first, ...then];
        const [busy, bystander] = await Promise.all([
          RandomCluster.make(plane, 3),
          RandomCluster.make(plane, 1),
        ]);
        const before = await look(bystander);
        const agents = busy.nodes.map((node, index) => new Agent(node, index % 2 === 0 ? plane : second));
        const watching = agents.map((agent) => agent.watch());
        try {
          while (steps.length > 0)
            await Promise.all(steps.splice(0, AT_ONCE).map((step) => busy.change(step)));
        } finally {
          for (const agent of agents) agent.isDone = true;
          await Promise.all(watching);
        }
        const now = await look(busy);
        for (const agent of agents) await agent.catchUp(now.get(agent.nodeId) ?? null);
        expect(await look(bystander)).toEqual(before);
        expect([await deadlocksOf(plane), await deadlocksOf(second)]).toEqual([0, 0]);
      });
      await fc.assert(property, { numRuns: RUNS, endOnFailure: true });
    },
    TIMEOUT_MS,
  );
});

/** Follows its snapshots as an agent does, and remembers what each number stood for. */
class Agent {
  isDone = false;
  private readonly contents = new Map<string, string>();
  private last: Seen | null = null;

  constructor(
    private readonly watching: WatchingNode,
    private readonly at: ControlPlane,
  ) {}

  get nodeId(): string {
    return this.watching.node.nodeId;
  }

  async watch(): Promise<void> {
    while (!this.isDone) if (!(await this.ask(1))) return;
  }

  /** Asks until there is nothing new, and has then what there is. @param present null: the membership is over */
  async catchUp(present: Seen | null): Promise<void> {
    for (;;) {
      const isWelcome = await this.ask(0);
      expect(isWelcome).toBe(present !== null);
      if (!isWelcome || this.isUnchanged) break;
    }
    if (present !== null)
      expect(this.last).toEqual({ generation: present.generation, content: present.content });
  }

  private isUnchanged = false;

  /** False: it is not welcome any more. */
  private async ask(waitSeconds: number): Promise<boolean> {
    const answer = await this.watching.poll({ waitSeconds, at: this.at });
    if (answer.status === 401) return false;
    expect([200, 304, 503]).toContain(answer.status);
    this.isUnchanged = answer.status === 304;
    if (answer.status !== 200) return true;
    this.watching.etag = answer.headers.get('etag');
    const payload = decodedPayload(answer.body.jws);
    const { generation, content } = seen(payload);
    const number = `${payload.authorityTerm}.${generation}`;
    expect([number, this.contents.get(number) ?? content]).toEqual([number, content]);
    expect(generation).toBeGreaterThanOrEqual(this.last?.generation ?? 0);
    this.contents.set(number, content);
    this.last = { generation, content };
    return true;
  }
}
