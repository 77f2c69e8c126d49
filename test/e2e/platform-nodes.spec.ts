import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import { alsoIn, applyAlsoTo } from '../support/second-membership.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

describe('physical nodes', () => {
  let plane: ControlPlane;
  let api: Api;
  beforeAll(async () => {
    plane = await startControlPlane();
    api = plane.api;
  });
  afterAll(() => plane.close());

  const token = async (input: Record<string, unknown>) =>
    api.as(
      (created(await api.post('/api-tokens', { name: unique('token'), ...input })) as { token: string })
        .token,
    );
  const epochOf = async (clusterId: string) => {
    const rows = await plane.database.query<{ epoch: string }>(
      'SELECT revocation_epoch AS epoch FROM clusters WHERE id = $1',
      [clusterId],
    );
    return Number(rows[0]?.epoch);
  };
  /** A host that is a member of two clusters. */
  const twice = async (): Promise<[TestNode, TestNode]> => {
    const node = await admittedNode(plane);
    return [node, await alsoIn(plane, node, (await given(plane).cluster()).id)];
  };

  it('are shown with what they are in each cluster, newest membership first', async () => {
    const [node, other] = await twice();
    await (await node.api()).post('/node-agents/me/heartbeat', node.heartbeat());
    const answer = await api.get(`/nodes/${node.nodeId}`);
    expect(answer.body).toEqual({
      id: node.nodeId,
      machineId: `machine-${node.name}`,
      createdAt: expect.stringMatching(/Z$/),
      memberships: [
        { clusterId: other.clusterId, name: other.name, membershipStatus: 'active', health: 'unknown' },
        { clusterId: node.clusterId, name: node.name, membershipStatus: 'active', health: 'online' },
      ],
    });
    const etag = answer.headers.get('etag') ?? '';
    expect((await api.get(`/nodes/${node.nodeId}`, { 'if-none-match': etag })).status).toBe(304);
    await (await other.api()).post('/node-agents/me/heartbeat', other.heartbeat());
    const later = (await api.get(`/nodes/${node.nodeId}`)).headers.get('etag');
    expect(later).not.toBe(etag);
    expect(later?.split('.')[0]).toBe(etag.split('.')[0]);
  });

  it('are listed newest first, by cluster and machine id, page by page', async () => {
    const cluster = await given(plane).cluster();
    const nodes = [
      await admittedNode(plane, cluster.id),
      await admittedNode(plane, cluster.id),
      await admittedNode(plane, cluster.id),
    ];
    const ids = nodes.map((node) => node.nodeId).reverse();
    const idsOf = (body: { items: { id: string }[] }) => body.items.map(({ id }) => id);
    const all = (await api.get('/nodes?limit=200')).body;
    expect(idsOf(all).slice(0, 3)).toEqual(ids);
    const first = (await api.get(`/nodes?clusterId=${cluster.id}&limit=2`)).body;
    const second = (
      await api.get(`/nodes?clusterId=${cluster.id}&limit=2&cursor=${first.nextCursor as string}`)
    ).body;
    expect([...idsOf(first), ...idsOf(second)]).toEqual(ids);
    expect(second.nextCursor).toBeNull();
    const byMachine = await api.get(`/nodes?machineId=machine-${nodes[0]?.name ?? ''}`);
    expect(idsOf(byMachine.body)).toEqual([nodes[0]?.nodeId]);
  });

  it('revoked are at an end everywhere: every key, every membership, one epoch more in each cluster', async () => {
    const [node, other] = await twice();
    const bystander = await admittedNode(plane, other.clusterId);
    const agents = [await node.api(), await other.api()];
    const before = [await epochOf(node.clusterId), await epochOf(other.clusterId)];
    const answer = await api.post(`/nodes/${node.nodeId}/revoke`, { reason: 'Stolen.' });
    expect(answer.status).toBe(200);
    expect(
      answer.body.memberships.map(({ membershipStatus }: { membershipStatus: string }) => membershipStatus),
    ).toEqual(['revoked', 'revoked']);
    expect([await epochOf(node.clusterId), await epochOf(other.clusterId)]).toEqual(
      before.map((epoch) => epoch + 1),
    );
    for (const agent of agents)
      expect((await agent.post('/node-agents/me/heartbeat', node.heartbeat())).status).toBe(401);
    for (const each of [node, other]) expect((await each.requestToken()).status).toBe(401);
    expect((await bystander.requestToken()).status).toBe(200);
    const { items } = (await api.get(`/audit/events?resourceId=${node.nodeId}&action=node.revoked`)).body;
    expect(items.map((event: { clusterId: string }) => event.clusterId).sort()).toEqual(
      [node.clusterId, other.clusterId].sort(),
    );
    expect(items[0]).toMatchObject({ reason: 'Stolen.', highRisk: true });
  });

  it('revoked again change nothing', async () => {
    const [node] = await twice();
    const first = await api.post(`/nodes/${node.nodeId}/revoke`, { reason: 'Stolen.' });
    const epoch = await epochOf(node.clusterId);
    const again = await api.post(`/nodes/${node.nodeId}/revoke`, { reason: 'Again.' });
    expect([again.status, again.body]).toEqual([200, first.body]);
    expect(await epochOf(node.clusterId)).toBe(epoch);
  });

  it('revoked in one cluster before end in the others alone', async () => {
    const [node, other] = await twice();
    created(await api.post(`/clusters/${node.clusterId}/nodes/${node.nodeId}/revoke`, { reason: 'Moved.' }));
    const epochs = [await epochOf(node.clusterId), await epochOf(other.clusterId)];
    created(await api.post(`/nodes/${node.nodeId}/revoke`, { reason: 'Stolen.' }));
    expect([await epochOf(node.clusterId), await epochOf(other.clusterId)]).toEqual([
      epochs[0],
      (epochs[1] ?? 0) + 1,
    ]);
  });

  it('revoked by ten callers at once, everywhere and in single clusters, end once in each', async () => {
    const [node, other] = await twice();
    const before = [await epochOf(node.clusterId), await epochOf(other.clusterId)];
    const reason = { reason: 'Race.' };
    const answers = await Promise.all([
      ...Array.from({ length: 4 }, () => api.post(`/nodes/${node.nodeId}/revoke`, reason)),
      ...Array.from({ length: 3 }, () =>
        api.post(`/clusters/${node.clusterId}/nodes/${node.nodeId}/revoke`, reason),
      ),
      ...Array.from({ length: 3 }, () =>
        api.post(`/clusters/${other.clusterId}/nodes/${node.nodeId}/revoke`, reason),
      ),
    ]);
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200]));
    expect([await epochOf(node.clusterId), await epochOf(other.clusterId)]).toEqual(
      before.map((epoch) => epoch + 1),
    );
  });

  it('that are revoked while they join another cluster end there too, or do not join', async () => {
    for (let round = 0; round < 6; round += 1) {
      const node = await admittedNode(plane);
      const { other, approve } = await applyAlsoTo(plane, node, (await given(plane).cluster()).id);
      const [joined, revoked] = await Promise.all([
        approve(),
        api.post(`/nodes/${node.nodeId}/revoke`, { reason: 'Race.' }),
      ]);
      expect(revoked.status).toBe(200);
      const { memberships } = (await api.get(`/nodes/${node.nodeId}`)).body;
      const statuses = memberships.map((each: { membershipStatus: string }) => each.membershipStatus);
      if (joined.status === 200) expect(statuses).toEqual(['revoked', 'revoked']);
      else expect([joined.body.code, statuses]).toEqual(['node_revoked', ['revoked']]);
      expect((await other.requestToken()).status).toBe(401);
    }
  });

  it('planned to be revoked, show both clusters and stay', async () => {
    const [node, other] = await twice();
    const plan = await api.post(`/nodes/${node.nodeId}/revoke?dryRun=true`, { reason: 'Tried.' });
    expect(plan.body).toMatchObject({ dryRun: true, affectedNodes: 2 });
    expect(
      plan.body.changes.map(({ clusterId, after }: { clusterId: string; after: unknown }) => [
        clusterId,
        after,
      ]),
    ).toEqual(
      expect.arrayContaining([
        [node.clusterId, null],
        [other.clusterId, null],
      ]),
    );
    expect((await other.requestToken()).status).toBe(200);
  });

  it('are for those who hold the whole platform', async () => {
    const [node] = await twice();
    const hour = { highRisk: true, expiresInSeconds: 3_600 };
    const local = await token({ role: 'platform-admin', clusterId: node.clusterId, ...hour });
    expect((await local.get('/nodes')).status).toBe(403);
    expect((await local.post(`/nodes/${node.nodeId}/revoke`, { reason: 'No.' })).status).toBe(403);
    const auditor = await token({ role: 'auditor', ...hour });
    expect((await auditor.get(`/nodes/${node.nodeId}`)).status).toBe(200);
    expect((await auditor.post(`/nodes/${node.nodeId}/revoke`, { reason: 'No.' })).status).toBe(403);
    const weak = await token({ permissions: ['platform_nodes.revoke'] });
    const answer = await weak.post(`/nodes/${node.nodeId}/revoke`, { reason: 'No.' });
    expect(answer.body.code).toBe('high_risk_credential_required');
  });

  it('that there are not are 404, and a revocation without a reason is 422', async () => {
    const nobody = '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21';
    expect((await api.get(`/nodes/${nobody}`)).status).toBe(404);
    expect((await api.post(`/nodes/${nobody}/revoke`, { reason: 'No.' })).status).toBe(404);
    const node = await admittedNode(plane);
    const answer = await api.post(`/nodes/${node.nodeId}/revoke`, {});
    expect([answer.status, answer.body.errors[0].pointer]).toEqual([422, '#/reason']);
  });
});
