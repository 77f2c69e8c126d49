import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { canonicalJson } from '../../src/common/json/canonical-json.js';
import { contentFromFacts } from '../support/content-from-facts.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { CHANGES, type Choice, isOfCluster, RandomCluster } from '../support/random-changes.js';
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
const TIMEOUT_MS = 60_000 + RUNS * 60_000;

let plane: ControlPlane;
let second: ControlPlane;
beforeAll(async () => {
  plane = await startControlPlane({ config: { limits } });
  second = await startControlPlane({ beside: plane, config: { limits } });
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
  for (const { path, node } of nodes) {
    const { status, body } = await plane.api.get(`${path}/snapshot`);
    expect(status).toBe(wanted.has(node.nodeId) ? 200 : 404);
    if (status !== 200) continue;
    const { generation: _, issuedAt: __, expiresAt: ___, ...content } = body;
    expect(content).toEqual(wanted.get(node.nodeId));
    all.set(node.nodeId, seen(body));
  }
  return all;
}

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
          for (const [nodeId, now] of after) {
            const old = before.get(nodeId);
            const isChanged = old?.content !== now.content;
            const growth = now.generation - (old?.generation ?? 0);
            const mayGrow = isOfCluster(step.change) && (growth > 0 || !isChanged);
            expect([step, isChanged, growth]).toEqual([
              step,
              isChanged,
              mayGrow ? growth : Number(isChanged),
            ]);
            if (isChanged) changed += 1;
          }
          before = after;
        }
        expect(await look(bystander)).toEqual(beside);
      });
      await fc.assert(property, { numRuns: RUNS, endOnFailure: true });
      expect(changed).toBeGreaterThan(10 * RUNS);
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
