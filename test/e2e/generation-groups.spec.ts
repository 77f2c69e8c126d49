import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Jobs } from '../../src/common/jobs/jobs.js';
import { Transactor } from '../../src/common/transaction/transactor.js';
import {
  type GenerationGroup,
  groupOf,
  LEAST_MEMBERS,
} from '../../src/modules/snapshots/generation-group.js';
import { GenerationKeeper } from '../../src/modules/snapshots/generation-keeper.js';
import { GenerationUngrouper } from '../../src/modules/snapshots/generation-ungrouper.js';
import { KeptGenerationGroupsRepository } from '../../src/modules/snapshots/kept-generation-groups.repository.js';
import {
  type KeptGeneration,
  KeptGenerationsRepository,
} from '../../src/modules/snapshots/kept-generations.repository.js';
import { sectionHashes, type UnsignedSnapshot } from '../../src/modules/snapshots/snapshot-parts.js';
import { SnapshotRetention } from '../../src/modules/snapshots/snapshot-retention.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, several } from '../support/given.js';
import { heldPolls } from '../support/held-polls.js';
import { openSecondSession } from '../support/second-session.js';
import { until } from '../support/until.js';
import { decodedPayload, type Payload, WatchingNode } from '../support/watching-node.js';

const limits = { unknownCredentialsPerMinute: 10_000, principalPerMinute: 100_000, nodePerMinute: 100_000 };

let plane: ControlPlane;
let second: ControlPlane;
let groups: KeptGenerationGroupsRepository;
let rows: KeptGenerationsRepository;
beforeAll(async () => {
  // Without workers, and the first takes nothing apart by itself: here it is told when.
  plane = await startControlPlane({ config: { limits, role: 'api' } });
  await plane.app.get(GenerationUngrouper).beforeApplicationShutdown();
  second = await startControlPlane({ beside: plane, config: { limits, role: 'api' } });
  groups = plane.app.get(KeptGenerationGroupsRepository);
  rows = plane.app.get(KeptGenerationsRepository);
});
afterAll(async () => {
  await second?.close();
  await plane?.close();
});

const pending = (clusterId: string) =>
  plane.database.query<{ id: string; members: number }>(
    'SELECT id, cardinality(node_ids) AS members FROM kept_generation_groups WHERE cluster_id = $1 ORDER BY id',
    [clusterId],
  );
const keptRows = (clusterId: string) =>
  plane.database.query<{ nodeId: string; generation: string; servedAt: Date }>(
    `SELECT node_id AS "nodeId", generation, served_at AS "servedAt" FROM kept_generations
      WHERE cluster_id = $1 ORDER BY node_id, generation`,
    [clusterId],
  );
async function takeAllApart(): Promise<void> {
  while ((await groups.takeApart(0, 3)) > 0);
}

/** Nodes of one cluster, enough for a group. */
let nodes: WatchingNode[];
beforeAll(async () => {
  const { id } = await given(plane).cluster();
  nodes = await several(60, () => WatchingNode.admit(plane, id));
});

/** They watch their cluster, and have what it had; then they are told of a change. */
async function changeForAll(degradedGraceSeconds: number): Promise<Payload[]> {
  for (const node of nodes) await node.fetch();
  const polls = nodes.map((node) => node.poll({ waitSeconds: 55 }));
  await heldPolls(plane, nodes.length);
  created(await plane.api.put(`/clusters/${nodes[0]?.node.clusterId}/policy`, { degradedGraceSeconds }));
  return (await Promise.all(polls)).map((answer) => decodedPayload(answer.body.jws));
}

/** Everything that the service says of what a node was given. */
async function told(at: ControlPlane, { path }: WatchingNode, { generation }: Payload): Promise<unknown[]> {
  const get = async (query: string) => {
    const { status, body, headers } = await at.api.get(`${path}/${query}`);
    return [status, JSON.stringify({ ...body, requestId: undefined }), headers.get('etag')];
  };
  const [newest, older] = (await at.api.get(`${path}/snapshots`)).body.items as [Payload, Payload];
  const before = new Date(Date.parse(newest.servedAt) - 1).toISOString();
  return [
    await get('snapshots'),
    await get('snapshots?limit=1'),
    await get(`snapshots?from=${newest.servedAt}`),
    await get(`snapshots?to=${newest.servedAt}`),
    await get(`snapshot?generation=${generation}`),
    await get(`snapshot?generation=${generation + 7}`),
    await get(`snapshot?generation=${older.generation}`),
    await get(`snapshot?at=${newest.servedAt}`),
    await get(`snapshot?at=${before}`),
    await get('snapshot?at=2026-01-01T00:00:00Z'),
    await get('snapshot/explain'),
  ];
}

const SHARED = {
  content: { authorityTerm: 3 },
  section: { hash: randomBytes(32), members: {} },
} as unknown as UnsignedSnapshot['shared'];

/** A group of one generation each of many nodes, made by hand; the nodes have one to four sections of their own. */
function snapshotsOf(
  clusterId: string,
  nodeIds: readonly string[],
  generation: number,
  issuedMs = 1_790_000_000_123,
): UnsignedSnapshot[] {
  return nodeIds.map((nodeId, index) => ({
    clusterId,
    nodeId,
    generation,
    own: {
      hashes: Buffer.alloc(32 * (1 + (index % 4)), `${nodeId}/${generation}`),
      sections: () => [],
    } as unknown as UnsignedSnapshot['own'],
    shared: SHARED,
    issue: 1,
    issuedAt: new Date(issuedMs),
    expiresAt: new Date(issuedMs + 60_000),
  }));
}
const asGroup = (snapshots: readonly UnsignedSnapshot[]) => groupOf(snapshots) as GenerationGroup;
const asRows = (snapshots: readonly UnsignedSnapshot[]) =>
  snapshots.map((each) => ({ ...each, authorityTerm: 3, sectionHashes: sectionHashes(each) }));
const ids = (count: number) => Array.from({ length: count }, () => randomUUID());

describe('a change that concerns many', () => {
  it('is kept by the group before the answers, and what is said of it does not change when that is taken apart', async () => {
    const id = nodes[0]?.node.clusterId ?? '';
    const payloads = await changeForAll(91);
    const inGroups = await pending(id);
    // Those few that did not make it into one are rows already.
    const members = inGroups.reduce((sum, group) => sum + group.members, 0);
    expect(members).toBeGreaterThanOrEqual(LEAST_MEMBERS);
    expect(await keptRows(id)).toHaveLength(2 * nodes.length - members);
    const looked = nodes.map((node, index) => ({ node, payload: payloads[index] }));
    for (const { node, payload } of looked) {
      const answer = await second.api.get(`${node.path}/snapshot?generation=${payload.generation}`);
      expect([answer.status, answer.body]).toEqual([200, payload]);
    }
    const some = looked.filter((_, index) => index % 20 === 7);
    const before = await Promise.all(some.map(({ node, payload }) => told(plane, node, payload)));
    await takeAllApart();
    expect(await pending(id)).toEqual([]);
    expect(await keptRows(id)).toHaveLength(2 * nodes.length);
    expect(await Promise.all(some.map(({ node, payload }) => told(second, node, payload)))).toEqual(before);
    expect(before.flat(2).filter((part) => part === 200)).toHaveLength(some.length * 9);
  });

  it('is taken apart by the instance that stored it, and by a sweep when that one has died', async () => {
    const { id } = await given(plane).cluster();
    await groups.insert(asGroup(snapshotsOf(id, ids(LEAST_MEMBERS), 4)), []);
    const sweep = () => second.app.get(Jobs).runNow('maintenance', 'kept-generation-groups');
    await sweep();
    // Whoever stored it has a minute to do it.
    expect(await pending(id)).toHaveLength(1);
    await plane.database.query(
      `UPDATE kept_generation_groups SET served_at = served_at - interval '61 seconds' WHERE cluster_id = $1`,
      [id],
    );
    await sweep();
    expect(await pending(id)).toEqual([]);
    expect(await keptRows(id)).toHaveLength(LEAST_MEMBERS);
    await second.app.get(GenerationKeeper).keep(snapshotsOf(id, ids(LEAST_MEMBERS), 5));
    await until(
      () => pending(id),
      (left) => left.length === 0,
    );
    expect(await keptRows(id)).toHaveLength(2 * LEAST_MEMBERS);
  });
});

describe('a generation that stands in several places', () => {
  /** One serving of a generation: where it is stored, and when. */
  const servings = fc.array(
    fc.record({
      generation: fc.integer({ min: 1, max: 4 }),
      servedMs: fc.integer({ min: 0, max: 5 }),
      issuedMs: fc.integer({ min: 0, max: 2 }),
      isGrouped: fc.boolean(),
    }),
    { minLength: 1, maxLength: 8 },
  );
  const FIRST_MS = 1_790_000_000_001;

  it('is there once, as it was first served, before, between and after the groups are taken apart', async () => {
    const read = plane.app.get(Transactor);
    await fc.assert(
      fc.asyncProperty(servings, async (all) => {
        const clusterId = randomUUID();
        const nodeIds = ids(LEAST_MEMBERS);
        const [nodeId] = nodeIds as [string];
        const first = new Map<number, { servedMs: number; issuedMs: number }>();
        const inRows = new Set<number>();
        for (const { generation, servedMs, issuedMs, isGrouped } of all) {
          // A second row of the same generation is never stored.
          if (!isGrouped && inRows.has(generation)) continue;
          const snapshots = snapshotsOf(clusterId, nodeIds, generation, FIRST_MS + issuedMs);
          if (isGrouped) await groups.insert(asGroup(snapshots), []);
          else {
            inRows.add(generation);
            await rows.insert(asRows(snapshots), []);
          }
          const table = isGrouped ? 'kept_generation_groups' : 'kept_generations';
          // What was stored just now is served when the example says so.
          await plane.database.query(
            `UPDATE ${table} SET served_at = $2 WHERE cluster_id = $1 AND served_at > now() - interval '1 day'
               AND served_at NOT BETWEEN $3 AND $4`,
            [clusterId, new Date(FIRST_MS + servedMs), new Date(FIRST_MS), new Date(FIRST_MS + 10)],
          );
          const known = first.get(generation);
          const isEarlier =
            known === undefined ||
            servedMs < known.servedMs ||
            (servedMs === known.servedMs && issuedMs < known.issuedMs);
          if (isEarlier) first.set(generation, { servedMs, issuedMs });
        }
        const expected = [...first.entries()]
          .sort(([one], [other]) => other - one)
          .map(([generation, { servedMs, issuedMs }]) => ({
            clusterId,
            nodeId,
            generation,
            authorityTerm: 3,
            sectionHashes: sectionHashes(snapshotsOf(clusterId, [nodeId], generation)[0] as UnsignedSnapshot),
            issuedAt: new Date(FIRST_MS + issuedMs),
            expiresAt: new Date(FIRST_MS + issuedMs + 60_000),
            servedAt: new Date(FIRST_MS + servedMs),
          }));
        const look = () =>
          read.read(async (tx) => {
            expect(await rows.list(tx, clusterId, nodeId, { below: null }, 10)).toEqual(expected);
            expect(await rows.list(tx, clusterId, nodeId, { below: 4 }, 1)).toEqual(
              expected.filter(({ generation }) => generation < 4).slice(0, 1),
            );
            expect(await rows.first(tx, clusterId, nodeId)).toEqual(expected.at(-1));
            for (const ms of [0, 2, 5]) {
              const at = new Date(FIRST_MS + ms);
              const range = { from: at.toISOString(), below: null };
              expect(await rows.list(tx, clusterId, nodeId, range, 10)).toEqual(
                expected.filter(({ servedAt }) => servedAt >= at),
              );
              expect(await rows.findAt(tx, clusterId, nodeId, at.toISOString())).toEqual(
                expected.find(({ servedAt }) => servedAt <= at) ?? null,
              );
            }
            for (const wanted of [1, 2, 3, 4]) {
              const others = expected.filter(({ generation }) => generation !== wanted);
              const away = ({ generation }: KeptGeneration) => Math.abs(generation - wanted);
              const [nearest] = others.sort(
                (one, other) => away(one) - away(other) || one.generation - other.generation,
              );
              expect(await rows.nearest(tx, clusterId, nodeId, wanted)).toEqual(nearest ?? null);
              expect(await rows.find(tx, clusterId, nodeId, wanted)).toEqual(
                expected.find(({ generation }) => generation === wanted) ?? null,
              );
            }
          });
        await look();
        while ((await groups.takeApart(0, 2)) > 0) await look();
        await look();
        expect(await keptRows(clusterId)).toHaveLength(expected.length * nodeIds.length);
      }),
      { numRuns: 25 },
    );
  });
});

describe('taking apart', () => {
  it('that is broken off loses nothing and doubles nothing', async () => {
    const clusterId = randomUUID();
    const nodeIds = ids(LEAST_MEMBERS).sort();
    await groups.insert(asGroup(snapshotsOf(clusterId, nodeIds, 9)), []);
    const session = await openSecondSession(plane);
    try {
      await session.query('BEGIN');
      // In the way of the last of the rows: all the others are written, and nothing is committed.
      const inTheWay = asRows(snapshotsOf(clusterId, nodeIds.slice(-1), 9))[0];
      await session.query(`INSERT INTO kept_generations VALUES ($1, $2, 9, 3, $3, now(), now(), now())`, [
        clusterId,
        nodeIds.at(-1),
        inTheWay?.sectionHashes,
      ]);
      const broken = groups.takeApart(0, 10).catch((error: Error) => error);
      await session.untilWaiting();
      await session.terminate(`a.query LIKE '%INTO kept_generations%' AND a.wait_event_type = 'Lock'`);
      expect(await broken).toBeInstanceOf(Error);
      await session.query('ROLLBACK');
    } finally {
      await session.end();
    }
    expect(await keptRows(clusterId)).toEqual([]);
    expect((await pending(clusterId)).map(({ members }) => members)).toEqual([LEAST_MEMBERS]);
    await takeAllApart();
    expect((await keptRows(clusterId)).map(({ nodeId }) => nodeId)).toEqual(nodeIds);
  });

  it('by several at once, beside others who store the same, loses nothing and doubles nothing', async () => {
    const clusterId = randomUUID();
    const nodeIds = ids(80);
    const parts = Array.from({ length: 24 }, (_, index) => {
      // Each node in many groups, in another order in each of them.
      const turned = [...nodeIds.slice((index * 13) % 80), ...nodeIds.slice(0, (index * 13) % 80)];
      return snapshotsOf(clusterId, turned.slice(0, 50), 1 + (index % 3));
    });
    for (const part of parts) await groups.insert(asGroup(part), []);
    const wanted = new Set(parts.flat().map(({ nodeId, generation }) => `${nodeId}.${generation}`));
    const [reader] = parts[0] as [UnsignedSnapshot];
    const otherGroups = second.app.get(KeptGenerationGroupsRepository);
    const take = async (from: KeptGenerationGroupsRepository) => {
      let taken = 0;
      for (;;) {
        const some = await from.takeApart(0, 2);
        if (some === 0) return taken;
        taken += some;
      }
    };
    const list = () =>
      plane.app.get(Transactor).read((tx) => rows.list(tx, clusterId, reader.nodeId, { below: null }, 10));
    const before = await list();
    const seen: KeptGeneration[][] = [];
    const [taken] = await Promise.all([
      Promise.all([groups, otherGroups, groups, otherGroups].map(take)),
      ...parts.slice(0, 6).map((part) => rows.insert(asRows(part), [])),
      ...Array.from({ length: 8 }, async () => void seen.push(await list())),
    ]);
    expect(taken.reduce((sum, each) => sum + each)).toBe(parts.length);
    const kept = (await keptRows(clusterId)).map(({ nodeId, generation }) => `${nodeId}.${generation}`);
    expect(kept).toHaveLength(wanted.size);
    expect(new Set(kept)).toEqual(wanted);
    expect(seen).toEqual(seen.map(() => before));
    expect(await list()).toEqual(before);
  });
});

describe('retention', () => {
  it('leaves alone the sections of what is in force and still in a group, and judges it as a row later', async () => {
    const id = nodes[0]?.node.clusterId ?? '';
    const payloads = await changeForAll(92);
    expect(await pending(id)).not.toEqual([]);
    for (const [table, column] of [
      ['kept_generations', 'served_at'],
      ['kept_generation_groups', 'served_at'],
      ['snapshot_sections', 'last_used_at'],
    ])
      await plane.database.query(
        `UPDATE ${table} SET ${column} = ${column} - interval '60 days' WHERE cluster_id = $1`,
        [id],
      );
    const looks = async () => {
      const statuses = new Set<string>();
      for (const [index, { path }] of nodes.entries()) {
        const { body } = await plane.api.get(`${path}/snapshots`);
        const answer = await plane.api.get(`${path}/snapshot?generation=${payloads[index].generation}`);
        statuses.add(`${body.items.length} ${answer.status}`);
      }
      return [...statuses];
    };
    const session = await openSecondSession(plane);
    try {
      await session.query('BEGIN');
      await session.query('SELECT 1 FROM kept_generation_groups WHERE cluster_id = $1 FOR UPDATE', [id]);
      await second.app.get(SnapshotRetention).run();
      expect(await pending(id)).not.toEqual([]);
      expect(await looks()).toEqual(['2 200']);
      await session.query('ROLLBACK');
    } finally {
      await session.end();
    }
    await second.app.get(SnapshotRetention).run();
    expect(await pending(id)).toEqual([]);
    expect(await looks()).toEqual(['1 200']);
  });
});
