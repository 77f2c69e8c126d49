import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ChangeReader } from '../../src/common/changes/change-reader.js';
import { TrustRetention } from '../../src/modules/trust/trust-retention.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given } from '../support/given.js';
import { heldPolls } from '../support/held-polls.js';
import { freshKey, rotationBody } from '../support/rotation.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

let plane: ControlPlane;
beforeAll(async () => {
  plane = await startControlPlane();
});
afterAll(() => plane?.close());

const revoke = async (node: TestNode) =>
  created(
    await plane.api.post(`/clusters/${node.clusterId}/nodes/${node.nodeId}/revoke`, {
      reason: 'Host was stolen.',
    }),
  );

const revokeKey = async ({ clusterId, nodeId }: TestNode) => {
  const path = `/clusters/${clusterId}/nodes/${nodeId}`;
  const { keys } = created(await plane.api.get(`${path}/identity`)) as { keys: { id: string }[] };
  return created(
    await plane.api.post(`${path}/identities/${keys[0]?.id}/revoke`, { reason: 'The key leaked.' }),
  );
};

const beat = async (node: TestNode, revocationEpochApplied?: number) =>
  created(
    await (await node.api()).post('/node-agents/me/heartbeat', node.heartbeat({ revocationEpochApplied })),
  ) as { revocationEpoch: number };

const get = (clusterId: string, epoch: number | string) =>
  plane.api.get(`/clusters/${clusterId}/trust/revocations/${epoch}`);

/** A cluster with three members, of which one is revoked. */
async function revoked() {
  const cluster = await given(plane).cluster();
  const [gone, one, other] = [
    await admittedNode(plane, cluster.id),
    await admittedNode(plane, cluster.id),
    await admittedNode(plane, cluster.id),
  ];
  await revoke(gone);
  return { cluster, gone, one, other };
}

describe('a revocation', () => {
  it('says who has applied it, who has not, and how long it took', async () => {
    const { cluster, gone, one, other } = await revoked();
    const before = await get(cluster.id, 1);
    expect(before.body).toMatchObject({
      epoch: 1,
      clusterId: cluster.id,
      nodeId: gone.nodeId,
      reason: 'Host was stolen.',
      members: 2,
      appliedCount: 0,
      pendingCount: 2,
      latencyMilliseconds: { median: null, p95: null, max: null },
      applied: [],
    });
    expect((await beat(one, 0)).revocationEpoch).toBe(1);
    await beat(one, 1);
    await beat(one, 1);
    const { body } = await get(cluster.id, 1);
    expect(body).toMatchObject({
      appliedCount: 1,
      pendingCount: 1,
      applied: [{ nodeId: one.nodeId, name: one.name, appliedAt: expect.any(String) }],
      pending: [{ nodeId: other.nodeId, lastSeenAt: null, epochApplied: null }],
    });
    const took = new Date(body.applied[0].appliedAt).getTime() - new Date(body.revokedAt).getTime();
    expect(body.latencyMilliseconds).toEqual({ median: took, p95: took, max: took });
  });

  it('is applied by who applies a later one, and counts from when it was first said', async () => {
    const { cluster, one, other } = await revoked();
    const another = await admittedNode(plane, cluster.id);
    await beat(one, 1);
    await revoke(another);
    await beat(other, 2);
    await beat(one, 2);
    const [first, second] = [(await get(cluster.id, 1)).body, (await get(cluster.id, 2)).body];
    expect([first.appliedCount, second.appliedCount]).toEqual([2, 2]);
    const at = (body: typeof first, node: TestNode) =>
      body.applied.find((each: { nodeId: string }) => each.nodeId === node.nodeId).appliedAt;
    expect(at(first, one) < at(second, one)).toBe(true);
    expect(at(first, other)).toBe(at(second, other));
  });

  it('is not applied by who claims an epoch that does not exist, or forgets it', async () => {
    const { cluster, one, other } = await revoked();
    await beat(one, 9_000_000_000);
    expect((await get(cluster.id, 1)).body.appliedCount).toBe(0);
    await beat(other, 1);
    expect((await get(cluster.id, 1)).body.appliedCount).toBe(1);
    await beat(other);
    expect((await get(cluster.id, 1)).body).toMatchObject({ appliedCount: 0, pendingCount: 2 });
  });

  it('leaves one acknowledgement for each node and epoch, however often it is said', async () => {
    const { cluster, one, other } = await revoked();
    const apis = await Promise.all([one.api(), other.api()]);
    await Promise.all(
      Array.from({ length: 40 }, (_, index) => {
        const node = index % 2 === 0 ? one : other;
        return apis[index % 2]?.post(
          '/node-agents/me/heartbeat',
          node.heartbeat({ revocationEpochApplied: 1 }),
        );
      }),
    );
    const rows = await plane.database.query(
      'SELECT node_id FROM revocation_acknowledgements WHERE cluster_id = $1',
      [cluster.id],
    );
    expect(rows).toHaveLength(2);
  });

  it('is listed with the others, newest first', async () => {
    const cluster = await given(plane).cluster();
    const nodes = [await admittedNode(plane, cluster.id), await admittedNode(plane, cluster.id)];
    for (const node of nodes) await revoke(node);
    const path = `/clusters/${cluster.id}/trust/revocations`;
    const page = (await plane.api.get(`${path}?limit=1`)).body;
    const next = (await plane.api.get(`${path}?limit=1&cursor=${page.nextCursor}`)).body;
    expect([...page.items, ...next.items].map(({ epoch, nodeId }) => [epoch, nodeId])).toEqual([
      [2, nodes[1]?.nodeId],
      [1, nodes[0]?.nodeId],
    ]);
    expect(next.nextCursor).toBeNull();
    expect((await plane.api.get(`/clusters/${cluster.id}/trust`)).body.revocationEpoch).toBe(2);
  });

  it('that there is none of is 404, like one of another cluster', async () => {
    const { cluster } = await revoked();
    for (const epoch of [2, 0, -1, 'x', '1e0']) expect((await get(cluster.id, epoch)).status).toBe(404);
    expect((await get((await given(plane).cluster()).id, 1)).status).toBe(404);
  });
});

describe('on another instance', () => {
  it.each([
    ['membership', revoke],
    ['key', revokeKey],
  ])(
    'a revocation of its %s cuts the held poll of a node within a second, and its every call is refused there',
    async (_, end) => {
      const other = await startControlPlane({ beside: plane, config: { publicUrlAliases: [plane.url] } });
      const took: number[] = [];
      try {
        // Best of three: a machine that is busy says nothing of the way that the news takes.
        for (let round = 0; round < 3; round += 1) {
          const node = await admittedNode(plane);
          const agent = other.api.as(
            (created(await node.requestToken()) as { access_token: string }).access_token,
          );
          const first = await agent.get('/node-agents/me/snapshot');
          const etag = { 'if-none-match': first.headers.get('etag') ?? '' };
          const held = agent.get('/node-agents/me/snapshot?waitSeconds=50', etag);
          await heldPolls(other, 1);
          await end(node);
          const revokedAt = performance.now();
          expect((await held).status).toBe(401);
          took.push(performance.now() - revokedAt);
          const calls = await Promise.all([
            agent.get('/node-agents/me/snapshot', etag),
            agent.get('/node-agents/me/snapshot'),
            agent.post('/node-agents/me/heartbeat', node.heartbeat()),
            agent.put('/node-agents/me/capabilities', { capabilities: [], facts: { os: 'linux' } }),
            agent.post('/node-agents/me/identity/rotate', await rotationBody(node, await freshKey())),
          ]);
          expect(calls.map(({ status }) => status)).toEqual(calls.map(() => 401));
        }
        expect(Math.min(...took)).toBeLessThan(1_000);
      } finally {
        await other.close();
      }
    },
  );

  it('that has lost the feed asks the database, and refuses the node all the same', async () => {
    const other = await startControlPlane({ beside: plane, config: { publicUrlAliases: [plane.url] } });
    try {
      const node = await admittedNode(plane);
      const agent = other.api.as(
        (created(await node.requestToken()) as { access_token: string }).access_token,
      );
      const first = await agent.get('/node-agents/me/snapshot');
      const etag = { 'if-none-match': first.headers.get('etag') ?? '' };
      expect((await agent.get('/node-agents/me/snapshot', etag)).status).toBe(304);
      // No news arrive any more, as where the connection to the database hangs.
      other.app.get(ChangeReader).isCaughtUp = () => false;
      await revoke(node);
      expect((await agent.get('/node-agents/me/snapshot', etag)).status).toBe(401);
    } finally {
      await other.close();
    }
  });
});

describe('what time has made useless', () => {
  it('is removed: acknowledgements and certificates of long ago, except for the last of a node', async () => {
    const { cluster, one, other } = await revoked();
    await beat(one, 1);
    await plane.database.query(
      `INSERT INTO node_certificates (cluster_id, serial, node_id, authority_kid, key_thumbprint, issued_at, not_before, not_after)
       SELECT $1, lpad(n::text, 32, '1'), CASE WHEN n = 3 THEN $3 ELSE $2 END::uuid, k.kid, 'x', now() - interval '200 days' + n * interval '1 day',
              now() - interval '200 days', now() - interval '100 days'
         FROM generate_series(1, 3) AS n, cluster_keys AS k WHERE k.cluster_id = $1 AND k.purpose = 'ca'`,
      [cluster.id, one.nodeId, other.nodeId],
    );
    await plane.database.query(
      `UPDATE revocation_acknowledgements SET first_seen_at = now() - interval '91 days' WHERE cluster_id = $1`,
      [cluster.id],
    );
    await plane.app.get(TrustRetention).run();
    const left = await plane.database.query<{ node_id: string }>(
      'SELECT node_id FROM node_certificates WHERE cluster_id = $1',
      [cluster.id],
    );
    expect(left.map((row) => row.node_id).sort()).toEqual([one.nodeId, other.nodeId].sort());
    const { body } = await get(cluster.id, 1);
    expect(body).toMatchObject({ appliedCount: 1, applied: [{ nodeId: one.nodeId, appliedAt: null }] });
  });
});
