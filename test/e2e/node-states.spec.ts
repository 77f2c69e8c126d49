import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { pino } from 'pino';
import { ChangeReader } from '../../src/common/changes/change-reader.js';
import { Database } from '../../src/common/database/database.js';
import { Metrics } from '../../src/common/observability/metrics.js';
import { Readiness } from '../../src/common/observability/readiness.js';
import { withResolvers } from '../../src/common/promise-with-resolvers.js';
import type { TouchedNodes } from '../../src/common/transaction/ports.js';
import { type NodeState, nodeStateKey } from '../../src/modules/nodes/node-state.js';
import { NodeStates } from '../../src/modules/nodes/node-states.js';
import { NodeStatesRepository } from '../../src/modules/nodes/node-states.repository.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, several, unique } from '../support/given.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

let plane: ControlPlane;
let database: Database;
let reader: ChangeReader;
let repository: NodeStatesRepository;
let states: NodeStates;

beforeAll(async () => {
  plane = await startControlPlane();
});
afterAll(() => plane?.close());

/** An instance's memory beside the one that changes things, which hears of them when the test wants it to. */
beforeEach(async () => {
  database = new Database(plane.runtime);
  const silent = {
    announce: () => {},
    subscribe: () => () => {},
    start: async () => {},
    close: async () => {},
  };
  reader = new ChangeReader(database, silent, pino({ level: 'silent' }), new Readiness(), new Metrics());
  // However long the test takes: whether memory may be trusted at all is another matter.
  jest.spyOn(reader, 'isCaughtUp').mockReturnValue(true);
  repository = new NodeStatesRepository(database);
  states = new NodeStates(repository, reader);
  states.onModuleInit();
  await reader.onApplicationBootstrap();
});
afterEach(async () => {
  await reader.beforeApplicationShutdown();
  await database.onApplicationShutdown();
  jest.restoreAllMocks();
});

async function clusterOf(count: number): Promise<{ id: string; nodes: TestNode[] }> {
  const { id } = await given(plane).cluster();
  const nodes = await several(count, () => admittedNode(plane, id));
  await reader.sync();
  return { id, nodes };
}

const rename = async ({ clusterId, nodeId }: TestNode) =>
  created(await plane.api.patch(`/clusters/${clusterId}/nodes/${nodeId}`, { name: unique('renamed') }));

let grace = 60;
const changePolicy = async (clusterId: string) => {
  grace += 1;
  created(await plane.api.put(`/clusters/${clusterId}/policy`, { degradedGraceSeconds: grace }));
};

/** As after a transaction of this instance. */
const forget = (clusterId: string, nodes: TouchedNodes) => states.forget(new Map([[clusterId, nodes]]));

describe('the state of a node', () => {
  it('is whole again after a change of its cluster by one look for all of them', async () => {
    const { id, nodes } = await clusterOf(5);
    await states.getAll(nodes);
    await changePolicy(id);
    await reader.sync();
    const [load, look] = [jest.spyOn(repository, 'load'), jest.spyOn(repository, 'look')];
    expect(nodes.map(({ nodeId }) => states.known(id, nodeId))).toEqual(nodes.map(() => null));
    const [first, second, third] = await Promise.all([
      states.getAll(nodes.slice(0, 3)),
      states.getAll(nodes.slice(2)),
      states.get(id, nodes[4]?.nodeId ?? ''),
    ]);
    expect([load.mock.calls.length, look.mock.calls.length]).toEqual([0, 1]);
    const now = await repository.load(nodes);
    expect(new Map([...first, ...second])).toEqual(now);
    expect(third).toEqual(now.get(nodeStateKey(nodes[4] as TestNode)));
    expect(nodes.map(({ nodeId }) => states.known(id, nodeId))).toEqual([...now.values()]);
  });

  it('is loaded anew where the feed has not told yet of a change that the look sees', async () => {
    const { id, nodes } = await clusterOf(2);
    const [changed, other] = nodes as [TestNode, TestNode];
    await states.getAll(nodes);
    await rename(changed);
    await changePolicy(id);
    forget(id, 'all');
    const load = jest.spyOn(repository, 'load');
    const found = await states.getAll(nodes);
    expect(load.mock.calls.map(([of]) => of.map(({ nodeId }) => nodeId))).toEqual([[changed.nodeId]]);
    expect(found).toEqual(await repository.load(nodes));
    expect(found.get(nodeStateKey(other))).toBeDefined();
  });

  it('that is loaded while its cluster changes is not made whole by a look from before', async () => {
    const { id, nodes } = await clusterOf(2);
    const [late, other] = nodes as [TestNode, TestNode];
    await states.getAll([other]);
    const { promise: gate, resolve: open } = withResolvers<void>();
    const load = repository.load.bind(repository);
    jest.spyOn(repository, 'load').mockImplementationOnce(async (of) => {
      await gate;
      return load(of);
    });
    const loading = states.getAll([late]);
    await changePolicy(id);
    await reader.sync();
    await states.getAll([other]);
    await changePolicy(id);
    await rename(late);
    open();
    await loading;
    expect(await states.getAll([late])).toEqual(await repository.load([late]));
  });

  it('is one that was true at some instant, whatever changes and whenever the feed tells of it', async () => {
    const { id, nodes } = await clusterOf(3);
    // One that is waited for leaves something to remember; one that is not meets what comes next.
    const act = fc.record({
      act: fc.constantFrom('rename', 'policy', 'ask', 'wait', 'sync'),
      at: fc.nat(2),
      isOurs: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 8, maxLength: 20 }), async (acts) => {
        const held = new Set<string>();
        const told: NodeState[] = [];
        const asked: Promise<unknown>[] = [];
        const remember = async () => {
          for (const state of (await repository.load(nodes)).values()) held.add(JSON.stringify(state));
        };
        await remember();
        for (const { act, at, isOurs } of acts) {
          const node = nodes[at] as TestNode;
          if (act === 'rename') await rename(node);
          else if (act === 'policy') await changePolicy(id);
          else if (act === 'sync') asked.push(reader.sync());
          else
            asked.push(states.getAll(isOurs ? nodes : [node]).then((found) => told.push(...found.values())));
          if (act === 'rename' || act === 'policy') {
            if (isOurs) forget(id, act === 'policy' ? 'all' : new Set([node.nodeId]));
            await remember();
          }
        }
        await Promise.all(asked);
        expect(told.filter((state) => !held.has(JSON.stringify(state)))).toEqual([]);
        await reader.sync();
        await reader.sync();
        expect(await states.getAll(nodes)).toEqual(await repository.load(nodes));
      }),
      { numRuns: 20 },
    );
  });
});
