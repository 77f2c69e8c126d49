import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Sql } from '../../src/common/database/sql.js';
import { Transactor } from '../../src/common/transaction/transactor.js';
import type { ReadTx } from '../../src/common/transaction/tx.js';
import { OverviewService } from '../../src/modules/overview/overview.service.js';
import type { Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import { admittedNode, TestNode } from '../support/test-node.js';

let plane: ControlPlane;
let api: Api;
beforeAll(async () => {
  // Without workers, whose statements would be counted among those of a call.
  plane = await startControlPlane({ config: { role: 'api' } });
  api = plane.api;
});
afterAll(() => plane?.close());

interface Item {
  cluster: { id: string; slug: string };
  riskyStates: unknown[];
}

async function tokenWith(input: Record<string, unknown>): Promise<Api> {
  const body = { name: unique('token'), expiresInSeconds: 3600, ...input };
  return api.as((created(await api.post('/api-tokens', body)) as { token: string }).token);
}

const itemOf = async (clusterId: string): Promise<Item> => {
  const { items } = (await api.get('/overview?limit=200')).body as { items: Item[] };
  const item = items.find(({ cluster }) => cluster.id === clusterId);
  if (item === undefined) throw new Error(`the overview lacks ${clusterId}`);
  return item;
};

const beat = async (node: TestNode, more: Record<string, unknown> = {}) =>
  created(await (await node.api()).post('/node-agents/me/heartbeat', node.heartbeat(more)));

/** A cluster with a member in each state that there is. */
async function mixedCluster() {
  const cluster = await given(plane).cluster({ region: 'north' });
  const facts = { cpuCount: 4, memoryBytes: 8_000 };
  const [online, old, silent, disabled, gone] = [
    await admittedNode(plane, cluster.id, { facts }),
    await admittedNode(plane, cluster.id, { facts: { cpuCount: 2 } }),
    await admittedNode(plane, cluster.id, { facts }),
    await admittedNode(plane, cluster.id, { facts }),
    await admittedNode(plane, cluster.id, { facts }),
  ];
  await beat(online, { memory: { totalBytes: 16_000, usedBytes: 1_000 } });
  await beat(old, { agentVersion: '0.0.9', memory: { totalBytes: 4_000, usedBytes: 500 } });
  await beat(disabled);
  created(await api.post(`/clusters/${cluster.id}/nodes/${disabled.nodeId}/disable`));
  created(await api.post(`/clusters/${cluster.id}/nodes/${gone.nodeId}/revoke`, { reason: 'Gone.' }));
  created(await api.put(`/clusters/${cluster.id}/policy`, { agentVersionPolicy: { minimum: '0.1.0' } }));
  await plane.database.query(
    `INSERT INTO node_liveness (cluster_id, node_id, last_seen_at, sequence) VALUES ($1, $2, now() - interval '1 day', 1)`,
    [cluster.id, silent.nodeId],
  );
  created(await api.put(`/clusters/${cluster.id}/role-coverage/vpn-exit`, { minimum: 2 }));
  const { token } = await given(plane).joinToken(cluster.id);
  created(await (await TestNode.make(plane.url)).enroll(token));
  return { cluster, online, old };
}

describe('the overview', () => {
  it('counts for each cluster what it has, how it fares and what it could do', async () => {
    const { cluster } = await mixedCluster();
    expect(await itemOf(cluster.id)).toEqual({
      cluster: {
        id: cluster.id,
        name: expect.any(String),
        slug: cluster.slug,
        status: 'active',
        region: 'north',
      },
      authority: expect.objectContaining({ state: 'authoritative', term: 1 }),
      members: { active: 3, disabled: 1 },
      nodes: { online: 2, degraded: 1, stale: 0, offline: 1, unknown: 0 },
      joinRequests: { pending: 1 },
      roleGaps: [expect.objectContaining({ role: 'vpn-exit', minimum: 2, effective: 0, gap: 2 })],
      capacity: { nodes: 2, cpuCount: 6, memoryBytes: 20_000, memoryUsedBytes: 1_500 },
      riskyStates: [{ kind: 'agent_version_blocked', severity: 'critical', count: 1 }],
    });
    const summary = (await api.get(`/clusters/${cluster.id}/summary`)).body;
    expect(summary).toMatchObject({
      nodes: { online: 2, degraded: 1, stale: 0, offline: 1, unknown: 0 },
      joinRequests: { pending: 1 },
      roleGaps: [{ role: 'vpn-exit', gap: 2 }],
      riskyStates: [{ kind: 'agent_version_blocked', severity: 'critical' }],
    });
  });

  it('shows an empty cluster as empty', async () => {
    const { id } = await given(plane).cluster();
    expect(await itemOf(id)).toMatchObject({
      members: { active: 0, disabled: 0 },
      nodes: { online: 0, degraded: 0, stale: 0, offline: 0, unknown: 0 },
      capacity: { nodes: 0, cpuCount: 0, memoryBytes: 0, memoryUsedBytes: 0 },
      riskyStates: [],
    });
  });

  it('adds up what hosts say, however absurd', async () => {
    const { id } = await given(plane).cluster();
    const nodes = await Promise.all(Array.from({ length: 5 }, () => admittedNode(plane, id)));
    const absurd = [
      { cpuCount: 1.7e308 },
      { cpuCount: -5 },
      { cpuCount: '8' },
      { cpuCount: 2.9 },
      { memoryBytes: null },
    ];
    for (const [index, node] of nodes.entries()) {
      await beat(node, { memory: { totalBytes: Number.MAX_SAFE_INTEGER, usedBytes: 1 } });
      const facts = { os: 'linux', arch: 'x64', hostname: 'h', ...absurd[index] };
      created(await (await node.api()).put('/node-agents/me/capabilities', { capabilities: [], facts }));
    }
    const most = Number.MAX_SAFE_INTEGER;
    expect(await itemOf(id)).toMatchObject({
      capacity: { nodes: 5, cpuCount: most, memoryBytes: most, memoryUsedBytes: 5 },
    });
  });

  it('is paged newest first, found by name, and takes the same number of statements for one cluster and for many', async () => {
    const name = unique('fleet');
    const made = [];
    for (let index = 0; index < 6; index += 1)
      made.push((await given(plane).cluster({ name: `${name} ${index}` })).id);
    await admittedNode(plane, made[0]);
    const page = (await api.get(`/overview?q=${name}&limit=4`)).body;
    const rest = (await api.get(`/overview?q=${name}&limit=4&cursor=${page.nextCursor}`)).body;
    expect([...page.items, ...rest.items].map(({ cluster }: Item) => cluster.id)).toEqual(
      [...made].reverse(),
    );
    expect(rest.nextCursor).toBeNull();
    expect((await api.get(`/clusters?q=${name}&limit=4&cursor=${page.nextCursor}`)).status).toBe(400);
    expect((await api.get(`/overview?q=${name}&status=archived`)).body.items).toEqual([]);
    expect(await statements({ limit: 6, q: name })).toBe(await statements({ limit: 1, q: name }));
  });

  it('is for those who may see the whole platform', async () => {
    const { id } = await given(plane).cluster();
    expect((await (await tokenWith({ role: 'auditor' })).get('/overview')).status).toBe(200);
    expect((await (await tokenWith({ role: 'platform-admin', clusterId: id })).get('/overview')).status).toBe(
      403,
    );
    expect((await (await tokenWith({ permissions: ['clusters.read'] })).get('/overview')).status).toBe(403);
    const narrow = await tokenWith({ permissions: ['overview.read'] });
    expect((await narrow.get('/overview')).body.items.length).toBeGreaterThan(0);
  });
});

/** How many statements one page of the overview takes. */
async function statements(query: { limit: number; q: string }): Promise<number> {
  const transactor = plane.app.get(Transactor);
  const service = plane.app.get(OverviewService);
  const read = transactor.read.bind(transactor);
  let count = 0;
  transactor.read = (work) =>
    read((tx) =>
      work({
        now: tx.now,
        query: <T>(statement: Sql) => {
          count += 1;
          return tx.query<T>(statement);
        },
      } as ReadTx),
    );
  try {
    expect((await service.overview({ ...query, cursor: undefined })).items).toHaveLength(query.limit);
  } finally {
    transactor.read = read;
  }
  return count;
}

describe('the risky states of a cluster', () => {
  it('are listed by node and kind, page by page, each once', async () => {
    const { id } = await given(plane).cluster();
    const nodes = await Promise.all(Array.from({ length: 7 }, () => admittedNode(plane, id)));
    created(await api.put(`/clusters/${id}/policy`, { agentVersionPolicy: { blocked: ['0.1.0'] } }));
    const since = '2026-11-23T08:00:00.000Z';
    for (const { nodeId } of nodes.slice(0, 3))
      await plane.database.query(`INSERT INTO node_risky_states VALUES ($1, $2, 'clone_suspected', $3)`, [
        id,
        nodeId,
        since,
      ]);
    const path = `/clusters/${id}/risky-states`;
    const all = (await api.get(path)).body.items;
    expect(all).toHaveLength(10);
    expect(all[0]).toEqual({
      kind: 'agent_version_blocked',
      resource: { type: 'node', id: expect.any(String), name: expect.any(String) },
      since: null,
      severity: 'critical',
      acknowledgedBy: null,
    });
    const keyOf = ({ kind, resource }: { kind: string; resource: { id: string } }) =>
      `${resource.id} ${kind}`;
    expect(all.map(keyOf)).toEqual(all.map(keyOf).sort());
    for (const limit of [1, 3, 4]) {
      const paged = [];
      let cursor: string | null = '';
      while (cursor !== null) {
        const next: string = cursor === '' ? '' : `&cursor=${cursor}`;
        const { body } = await api.get(`${path}?limit=${limit}${next}`);
        paged.push(...body.items);
        cursor = body.nextCursor;
      }
      expect(paged).toEqual(all);
    }
    const clones = (await api.get(`${path}?kind=clone_suspected`)).body.items;
    expect(clones.map(keyOf).sort()).toEqual(
      nodes
        .slice(0, 3)
        .map(({ nodeId }) => `${nodeId} clone_suspected`)
        .sort(),
    );
    expect(clones[0]).toMatchObject({ since });
    const cursor = (await api.get(`${path}?limit=1`)).body.nextCursor;
    expect((await api.get(`${path}?kind=clone_suspected&cursor=${cursor}`)).status).toBe(400);
    expect((await api.get(`${path}?kind=A`)).status).toBe(400);
    expect((await api.get(`/clusters/${id}/summary`)).body.riskyStates).toEqual(all);

    // What is the cluster's own comes first, and pages no otherwise.
    const transition = { to: 'partitioned', reason: 'A drill.', expectedTerm: 1 };
    created(await api.post(`/clusters/${id}/authority/transitions`, transition));
    const own = { kind: 'authority_partitioned', resource: { type: 'cluster', id }, severity: 'critical' };
    const first = (await api.get(`${path}?limit=1`)).body;
    expect(first.items).toMatchObject([own]);
    expect((await api.get(`${path}?limit=50&cursor=${first.nextCursor}`)).body.items).toEqual(all);
    expect((await api.get(`${path}?kind=authority_partitioned`)).body.items).toMatchObject([own]);
    expect((await itemOf(id)).riskyStates).toEqual([
      { kind: 'agent_version_blocked', severity: 'critical', count: 7 },
      { kind: 'authority_partitioned', severity: 'critical', count: 1 },
      { kind: 'clone_suspected', severity: 'critical', count: 3 },
    ]);
  });

  it('in a summary are the first twenty', async () => {
    const { id } = await given(plane).cluster();
    await plane.database.query(
      `WITH host AS (INSERT INTO nodes (id) SELECT gen_random_uuid() FROM generate_series(1, 25) RETURNING id)
       INSERT INTO cluster_memberships (cluster_id, node_id, name, os, arch, agent_version)
       SELECT $1, h.id, 'n-' || h.id, 'linux', 'x64', '0.1.0' FROM host AS h`,
      [id],
    );
    created(await api.put(`/clusters/${id}/policy`, { agentVersionPolicy: { minimum: '1.0.0' } }));
    const { riskyStates } = (await api.get(`/clusters/${id}/summary`)).body;
    const { items } = (await api.get(`/clusters/${id}/risky-states?limit=20`)).body;
    expect(riskyStates).toHaveLength(20);
    expect(riskyStates).toEqual(items);
  });
});

describe('the policy of the platform', () => {
  it('has its defaults, is replaced as a whole, and told to the audit log', async () => {
    const first = await api.get('/policy');
    expect(first).toMatchObject({ status: 200, body: { releaseSelfApproval: true, fourEyes: {} } });
    const next = { releaseSelfApproval: false, fourEyes: { 'api_tokens.create': true } };
    const etag = first.headers.get('etag') ?? '';
    const put = await api.put('/policy', next, { 'if-match': etag });
    expect(put).toMatchObject({ status: 200, body: next });
    expect(put.headers.get('etag')).not.toBe(etag);
    expect((await api.get('/policy')).body).toEqual(next);
    expect((await api.put('/policy', {}, { 'if-match': etag })).status).toBe(412);
    const same = await api.put('/policy', next);
    expect(same.status).toBe(200);
    const { items } = (await api.get('/audit/events?action=platform_policy.updated')).body;
    expect(items).toMatchObject([
      {
        highRisk: true,
        clusterId: null,
        before: { releaseSelfApproval: true, fourEyes: {} },
        after: next,
      },
    ]);
    expect((await api.put('/policy', {})).body).toEqual({ releaseSelfApproval: true, fourEyes: {} });
  });

  it('needs the permission over the platform, and a credential made for it', async () => {
    const { id } = await given(plane).cluster();
    const reader = await tokenWith({ role: 'auditor', highRisk: true });
    expect((await reader.get('/policy')).status).toBe(200);
    expect((await reader.put('/policy', {})).body.permission).toBe('platform_policy.update');
    const local = await tokenWith({ role: 'platform-admin', clusterId: id, highRisk: true });
    expect((await local.get('/policy')).status).toBe(403);
    const careless = await tokenWith({ role: 'platform-admin' });
    expect((await careless.put('/policy', {})).body.code).toBe('high_risk_credential_required');
  });

  it.each([
    ['an unknown member', { selfApproval: true }, '#/selfApproval'],
    ['what is no truth', { releaseSelfApproval: 'no' }, '#/releaseSelfApproval'],
    ['what is no permission', { fourEyes: { Everything: true } }, '#/fourEyes'],
  ])('refuses %s', async (_, body, pointer) => {
    const answer = await api.put('/policy', body);
    expect(answer.status).toBe(422);
    expect(answer.body.errors.map((fault: { pointer: string }) => fault.pointer).join()).toContain(pointer);
  });

  it('exists once', async () => {
    await expect(plane.database.query('INSERT INTO platform_policy DEFAULT VALUES')).rejects.toThrow(
      /duplicate/,
    );
    await expect(
      plane.database.query('INSERT INTO platform_policy (singleton) VALUES (false)'),
    ).rejects.toThrow(/platform_policy_is_one_row/);
  });
});
