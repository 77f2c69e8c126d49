import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Presence } from '../../src/common/database/presence.js';
import { Transactor } from '../../src/common/transaction/transactor.js';
import { findMassLapse } from '../../src/modules/authority/mass-lapse.js';
import { PartitionEvidenceRepository } from '../../src/modules/nodes/partition-evidence.repository.js';
import { PartitionWatch } from '../../src/modules/nodes/partition-watch.js';
import type { Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given } from '../support/given.js';
import { admittedNode, type TestNode } from '../support/test-node.js';
import { until } from '../support/until.js';

/** A sweep that came at the wrong moment would do what the test looks at before. */
const WITHOUT_WORKERS = { config: { role: 'api' as const } };

interface AuthorityBody {
  state: string;
  term: number;
  holder: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it
  partitions: any[];
}

describe('partitions', () => {
  let plane: ControlPlane;
  let beside: ControlPlane;
  let api: Api;
  beforeAll(async () => {
    plane = await startControlPlane(WITHOUT_WORKERS);
    beside = await startControlPlane({ ...WITHOUT_WORKERS, beside: plane });
    api = plane.api;
  });
  afterAll(async () => {
    await beside?.close();
    await plane?.close();
  });
  beforeEach(() => presence(`now() - interval '1 day'`, 'now()'));

  /** Says since when, and until when, somebody has listened to nodes. */
  const presence = (since: string, until: string) =>
    plane.database.query(`UPDATE service_presence SET present_since = ${since}, present_at = ${until}`);
  const sweep = () => Promise.all([plane, beside].map(({ app }) => app.get(PartitionWatch).sweep()));
  const authorityOf = async (clusterId: string) =>
    created(await api.get(`/clusters/${clusterId}/authority`)) as AuthorityBody;
  const move = async (clusterId: string, to: string) => {
    const { term } = await authorityOf(clusterId);
    const body = { to, reason: 'The operator knows.', expectedTerm: term };
    return created(await api.post(`/clusters/${clusterId}/authority/transitions`, body)) as AuthorityBody;
  };
  const events = async (clusterId: string, action: string) =>
    (await api.get(`/audit/events?clusterId=${clusterId}&action=${action}`)).body.items;
  const watch = async (clusterId: string, partitionDetection: object) =>
    created(await api.put(`/clusters/${clusterId}/policy`, { partitionDetection, heartbeatSeconds: 30 }));
  const beat = async (node: TestNode, more: object) =>
    created(await (await node.api()).post('/node-agents/me/heartbeat', node.heartbeat({ ...more })));
  /** Makes what nodes have reported look as if they had said it a heartbeat before, too. */
  const again = (clusterId: string) =>
    plane.database.query(
      `UPDATE node_authority_reports SET first_reported_at = first_reported_at - interval '30 seconds' WHERE cluster_id = $1`,
      [clusterId],
    );
  const silent = (nodes: readonly { nodeId: string }[], seconds: number) =>
    plane.database.query(
      `UPDATE node_liveness SET last_seen_at = now() - make_interval(secs => $2) WHERE node_id = ANY($1::uuid[])`,
      [nodes.map(({ nodeId }) => nodeId), seconds],
    );

  async function clusterOf(count: number, policy: object) {
    const first = await admittedNode(plane);
    const { clusterId } = first;
    const rest = Array.from({ length: count - 1 }, () => admittedNode(plane, clusterId));
    const nodes = [first, ...(await Promise.all(rest))];
    await watch(clusterId, policy);
    return { clusterId, nodes };
  }

  describe('shown by reports that contradict each other', () => {
    const ELSEWHERE = { authorityTerm: 1, authorityHolder: 'control-plane/other' };
    const peers = (...nodes: readonly { nodeId: string }[]) => ({
      peersSeen: nodes.map(({ nodeId }) => ({ nodeId, ...ELSEWHERE, reachable: true })),
    });

    it('move the cluster to partitioned once, with the evidence, and only an operator leads out of it', async () => {
      const { clusterId, nodes } = await clusterOf(4, { enabled: true });
      const [a, b, c, d] = nodes as [TestNode, TestNode, TestNode, TestNode];
      expect(await beat(a, peers(c, d, { nodeId: randomUUID() }))).toMatchObject({
        authorityHolder: 'control-plane',
      });
      await beat(b, peers(d));
      await sweep();
      expect(await authorityOf(clusterId)).toMatchObject({ state: 'authoritative', partitions: [] });

      await again(clusterId);
      await sweep();
      const found = await authorityOf(clusterId);
      expect(found).toMatchObject({ state: 'partitioned', term: 1 });
      const ids = (...of: TestNode[]) => of.map(({ nodeId }) => nodeId).sort();
      const sides = [
        {
          side: 'here',
          authorityTerm: 1,
          authorityHolder: 'control-plane',
          nodeCount: 2,
          nodeIds: ids(a, b),
        },
        {
          side: 'elsewhere',
          authorityTerm: 1,
          authorityHolder: 'control-plane/other',
          nodeCount: 2,
          nodeIds: ids(c, d),
        },
      ];
      const evidence = {
        term: 1,
        holder: 'control-plane/other',
        reporters: 2,
        subjects: 2,
        minimumReporters: 2,
      };
      expect(found.partitions).toMatchObject([{ kind: 'contradiction', clearedAt: null, sides, evidence }]);
      expect(await events(clusterId, 'authority.partition_found')).toMatchObject([
        {
          actor: { type: 'system', id: 'partition-watch' },
          after: { kind: 'contradiction', sides, evidence },
        },
      ]);
      expect(await events(clusterId, 'authority.transitioned')).toMatchObject([
        {
          actor: { type: 'system', id: 'partition-watch' },
          before: { state: 'authoritative', term: 1 },
          after: { state: 'partitioned', term: 1 },
          reason: expect.stringContaining('cannot be beside'),
        },
      ]);
      expect((await api.put(`/clusters/${clusterId}/policy`, {})).body.code).toBe(
        'cluster_not_authoritative',
      );
      expect((await api.get(`/clusters/${clusterId}/summary`)).body.riskyStates[0]).toMatchObject({
        kind: 'authority_partitioned',
        resource: { type: 'cluster', id: clusterId },
        severity: 'critical',
      });

      // The evidence is gone, and the state stays.
      await plane.database.query('DELETE FROM node_authority_reports WHERE cluster_id = $1', [clusterId]);
      await sweep();
      const gone = await authorityOf(clusterId);
      expect(gone).toMatchObject({ state: 'partitioned', partitions: [{ clearedAt: expect.any(String) }] });
      expect(await events(clusterId, 'authority.partition_cleared')).toHaveLength(1);
      await move(clusterId, 'recovering');
      expect(await move(clusterId, 'authoritative')).toMatchObject({
        state: 'authoritative',
        term: 2,
        partitions: [],
      });
      await sweep();
      expect(await authorityOf(clusterId)).toMatchObject({ state: 'authoritative', term: 2, partitions: [] });
    });

    it('what an operator has resolved while it lasts is not found again before it has been gone once', async () => {
      const { clusterId, nodes } = await clusterOf(2, { enabled: true, minimumReporters: 1 });
      const [a, b] = nodes as [TestNode, TestNode];
      const report = async () => {
        await beat(a, peers(b));
        await again(clusterId);
        await sweep();
        return (await authorityOf(clusterId)).state;
      };
      expect(await report()).toBe('partitioned');
      await move(clusterId, 'degraded');
      expect(await report()).toBe('degraded');
      await plane.database.query('DELETE FROM node_authority_reports WHERE cluster_id = $1', [clusterId]);
      await sweep();
      expect(await report()).toBe('partitioned');
      expect(await events(clusterId, 'authority.partition_found')).toHaveLength(2);
    });

    it('count for nothing by one node alone, of strangers, of peers that did not answer, or of earlier terms', async () => {
      const { clusterId, nodes } = await clusterOf(3, { enabled: true });
      const [a, b, c] = nodes as [TestNode, TestNode, TestNode];
      const none = { ...ELSEWHERE, reachable: true };
      await beat(a, peers(c));
      await beat(b, {
        peersSeen: [
          { nodeId: randomUUID(), ...none },
          { nodeId: c.nodeId, ...none, reachable: false },
          { nodeId: a.nodeId, ...none, authorityTerm: 0 },
        ],
      });
      await again(clusterId);
      await sweep();
      expect(await authorityOf(clusterId)).toMatchObject({ state: 'authoritative', partitions: [] });
      await beat(b, { authorityTermSeen: 1, authorityHolderSeen: ELSEWHERE.authorityHolder });
      await again(clusterId);
      await sweep();
      expect(await authorityOf(clusterId)).toMatchObject({ state: 'partitioned' });
    });

    it('are not kept where the policy does not ask for them', async () => {
      const { clusterId, nodes } = await clusterOf(2, {});
      const [a, b] = nodes as [TestNode, TestNode];
      await beat(a, peers(b));
      const rows = await plane.database.query('SELECT 1 FROM node_authority_reports WHERE cluster_id = $1', [
        clusterId,
      ]);
      expect(rows).toEqual([]);
    });

    it.each(['recovering', 'fenced'])('leave a cluster alone that is %s', async (state) => {
      const { clusterId, nodes } = await clusterOf(2, { enabled: true, minimumReporters: 1 });
      const [a, b] = nodes as [TestNode, TestNode];
      if (state === 'recovering') await move(clusterId, 'degraded');
      await move(clusterId, state);
      await beat(a, peers(b));
      await again(clusterId);
      await sweep();
      expect(await authorityOf(clusterId)).toMatchObject({ state, partitions: [] });
    });

    it.each([
      [
        'more than 64 peers',
        { peersSeen: Array.from({ length: 65 }, () => ({ nodeId: randomUUID() })) },
        '#/peersSeen',
      ],
      ['a peer without an id', { peersSeen: [{ authorityTerm: 1 }] }, '#/peersSeen/0/nodeId'],
      ['a holder without end', { authorityHolderSeen: 'x'.repeat(129) }, '#/authorityHolderSeen'],
    ])('a heartbeat with %s is refused', async (_, more, pointer) => {
      const node = await admittedNode(plane);
      const answer = await (await node.api()).post('/node-agents/me/heartbeat', node.heartbeat(more));
      expect([answer.status, answer.body.errors[0].pointer]).toEqual([422, pointer]);
    });
  });

  describe('shown by a lost quorum', () => {
    const QUORUM = { enabled: true, quorum: { minimumPercent: 51, windowSeconds: 600 } };

    it('move the cluster to partitioned, say who is missing, and wait for an operator although all come back', async () => {
      const { clusterId, nodes } = await clusterOf(4, QUORUM);
      for (const node of nodes) await beat(node, {});
      const [, , c, d] = nodes as [TestNode, TestNode, TestNode, TestNode];
      await silent([c, d], 300);
      await sweep();
      expect(await authorityOf(clusterId)).toMatchObject({ state: 'authoritative' });
      await silent([c, d], 601);
      await sweep();
      const found = await authorityOf(clusterId);
      expect(found).toMatchObject({
        state: 'partitioned',
        partitions: [
          {
            kind: 'quorum_lost',
            sides: [
              { side: 'here', nodeCount: 2 },
              { side: 'missing', authorityHolder: null, nodeIds: [c.nodeId, d.nodeId].sort() },
            ],
            evidence: { total: 4, present: 2, minimumPercent: 51, windowSeconds: 600, role: null },
          },
        ],
      });
      await silent([c, d], 0);
      await sweep();
      expect(await authorityOf(clusterId)).toMatchObject({ state: 'partitioned', term: 1 });
      expect(await events(clusterId, 'authority.partition_found')).toHaveLength(1);
    });

    it('count active nodes with the role that the policy names', async () => {
      const quorum = { role: 'vpn-exit', minimumPercent: 51, windowSeconds: 600 };
      const { clusterId, nodes } = await clusterOf(4, { enabled: true, quorum });
      for (const node of nodes) await beat(node, {});
      const [a, b, c] = nodes as [TestNode, TestNode, TestNode, TestNode];
      for (const { nodeId } of [a, b, c])
        created(await api.post(`/clusters/${clusterId}/role-assignments`, { nodeId, role: 'vpn-exit' }));
      await silent(nodes.slice(2), 3_600);
      await sweep();
      expect(await authorityOf(clusterId)).toMatchObject({ state: 'authoritative' });
      created(await api.post(`/clusters/${clusterId}/nodes/${a.nodeId}/disable`));
      await sweep();
      expect(await authorityOf(clusterId)).toMatchObject({
        state: 'partitioned',
        partitions: [{ evidence: { total: 2, present: 1, role: 'vpn-exit' } }],
      });
    });

    it('do not count the time in which nobody listened to nodes', async () => {
      const { clusterId, nodes } = await clusterOf(3, QUORUM);
      for (const node of nodes) await beat(node, {});
      await silent(nodes, 3_600);
      await presence(`now() - interval '1 day'`, `now() - interval '1 minute'`);
      await sweep();
      expect(await authorityOf(clusterId)).toMatchObject({ state: 'authoritative' });

      // The first instance that is back begins a new presence, and from then on nodes have their time.
      await presence(`now() - interval '1 day'`, `now() - interval '1 minute'`);
      const signed = async () => {
        await plane.app.get(Presence).sign(); // by the row's lock one instance at a time, and both do by themselves
        return plane.database.query<{ anew: boolean }>(
          `SELECT present_since > now() - interval '30 seconds' AS anew FROM service_presence`,
        );
      };
      await until(signed, ([row]) => row?.anew === true);
      await sweep();
      expect(await authorityOf(clusterId)).toMatchObject({ state: 'authoritative' });
      await presence(`now() - interval '601 seconds'`, 'now()');
      await sweep();
      expect(await authorityOf(clusterId)).toMatchObject({ state: 'partitioned' });
    });
  });

  describe('and the brake on mass lapses', () => {
    /** Members that have reported, made in the database: so many would take long by the API. */
    async function fleet(count: number): Promise<{ clusterId: string; nodes: { nodeId: string }[] }> {
      const clusterId = (await given(plane).cluster()).id;
      const nodes = Array.from({ length: count }, () => ({ nodeId: randomUUID() }));
      const ids = nodes.map(({ nodeId }) => nodeId);
      await plane.database.query(`INSERT INTO nodes (id) SELECT unnest($1::uuid[])`, [ids]);
      await plane.database.query(
        `INSERT INTO cluster_memberships (cluster_id, node_id, name, os, arch)
         SELECT $1::uuid, id, id::text, 'linux', 'x64' FROM unnest($2::uuid[]) AS id`,
        [clusterId, ids],
      );
      await plane.database.query(
        `INSERT INTO node_liveness (cluster_id, node_id, last_seen_at, sequence)
         SELECT $1::uuid, id, now(), 1 FROM unnest($2::uuid[]) AS id`,
        [clusterId, ids],
      );
      return { clusterId, nodes };
    }
    const QUORUM = { enabled: true, quorum: { minimumPercent: 90, windowSeconds: 600 } };

    it('hold what silence would decide, raise an alarm, and leave the displayed health alone', async () => {
      const { clusterId, nodes } = await fleet(30);
      await watch(clusterId, QUORUM);
      await silent(nodes.slice(0, 16), 3_600);
      await sweep();
      expect(await authorityOf(clusterId)).toMatchObject({ state: 'authoritative', partitions: [] });
      expect(await events(clusterId, 'authority.mass_lapse_began')).toMatchObject([
        { after: { kind: 'nodes', lapsed: 16, population: 30 } },
      ]);
      const { nodes: health, riskyStates } = (await api.get(`/clusters/${clusterId}/summary`)).body;
      expect(health).toMatchObject({ online: 14, offline: 16 });
      expect(riskyStates.map(({ kind }: { kind: string }) => kind)).toEqual([
        'mass_lapse_of_nodes',
        'takeovers_held',
      ]);
      expect(await authorityOf(clusterId)).toMatchObject({ takeoversHeldUntil: expect.any(String) });

      // Two are back: no mass lapse any more, and what is left counts.
      await silent(nodes.slice(0, 2), 0);
      await sweep();
      expect(await events(clusterId, 'authority.mass_lapse_ended')).toHaveLength(1);
      expect(await authorityOf(clusterId)).toMatchObject({ state: 'partitioned' });
    });

    it('do not hold in a small cluster, nor where nodes lapsed one after the other', async () => {
      const small = await fleet(19);
      const large = await fleet(30);
      for (const { clusterId } of [small, large]) await watch(clusterId, QUORUM);
      await silent(small.nodes, 3_600);
      for (const [index, node] of large.nodes.entries()) await silent([node], 3_600 + index * 10);
      await sweep();
      for (const { clusterId } of [small, large])
        expect(await authorityOf(clusterId)).toMatchObject({ state: 'partitioned' });
    });

    it('finds the same lapses in the database as by the rule', async () => {
      const { clusterId, nodes } = await fleet(50);
      const evidence = plane.app.get(PartitionEvidenceRepository);
      const seen = fc.array(fc.integer({ min: 0, max: 40_000 }), { minLength: 50, maxLength: 50 });
      await fc.assert(
        fc.asyncProperty(seen, fc.integer({ min: 40_000, max: 125_000 }), async (offsets, ago) => {
          await plane.database.query(
            `UPDATE node_liveness AS l SET last_seen_at = now() - (s.ms || ' milliseconds')::interval
               FROM unnest($1::uuid[], $2::int[]) AS s (id, ms) WHERE l.node_id = s.id`,
            [nodes.map(({ nodeId }) => nodeId), offsets.map((offset) => ago - offset)],
          );
          const { before, found, after } = await plane.app.get(Transactor).read(async (tx) => ({
            before: tx.now,
            found: (await evidence.massLapses(tx)).get(clusterId) ?? null,
            after: (await plane.database.query<{ now: Date }>('SELECT fabric_now() AS now'))[0]?.now,
          }));
          const rows = await plane.database.query<{ at: Date }>(
            `SELECT last_seen_at + interval '90 seconds' AS at FROM node_liveness WHERE cluster_id = $1`,
            [clusterId],
          );
          const instants = rows.map(({ at }) => at);
          const gone = instants.filter((at) => at <= before);
          const wanted = findMassLapse(gone, instants.length - gone.length);
          // A node that lapsed while the database looked, down to the millisecond, may have been counted or not.
          const isClose = instants.some((at) => at >= before && at <= (after ?? before));
          if (!isClose) expect(found).toEqual(wanted);
        }),
        { numRuns: 25 },
      );
    });
  });

  it.each([
    ['nothing to detect', { enabled: true, contradiction: false }, '#/partitionDetection/enabled'],
    [
      'a quorum without a window',
      { quorum: { minimumPercent: 50 } },
      '#/partitionDetection/quorum/windowSeconds',
    ],
    [
      'a share above all',
      { quorum: { minimumPercent: 101, windowSeconds: 60 } },
      '#/partitionDetection/quorum/minimumPercent',
    ],
    ['no reporter', { minimumReporters: 0 }, '#/partitionDetection/minimumReporters'],
    ['a member that there is not', { quorumPercent: 50 }, '#/partitionDetection/quorumPercent'],
  ])('refuses a policy with %s', async (_, partitionDetection, pointer) => {
    const { id } = await given(plane).cluster();
    const answer = await api.put(`/clusters/${id}/policy`, { partitionDetection });
    expect([answer.status, answer.body.errors?.[0]?.pointer]).toEqual([422, pointer]);
  });
});
