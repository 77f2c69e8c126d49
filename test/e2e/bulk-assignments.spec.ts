import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/common/ids/uuid.js';
import type { Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given } from '../support/given.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

const limits = { unknownCredentialsPerMinute: 10_000, principalPerMinute: 100_000 };

interface Result {
  nodeId: string;
  outcome: string;
  code: string | null;
  detail: string | null;
  assignmentId: string | null;
}

let controlPlane: ControlPlane;
let api: Api;
beforeAll(async () => {
  controlPlane = await startControlPlane({ config: { limits } });
  api = controlPlane.api;
});
afterAll(() => controlPlane?.close());

const bulk = (clusterId: string, body: Record<string, unknown>, as = api) =>
  as.post(`/clusters/${clusterId}/role-assignments/bulk`, { role: 'vpn-exit', ...body });

/** Members of a cluster that never enrolled, by their number. */
async function crowd(clusterId: string, count: number): Promise<void> {
  await controlPlane.database.query(
    `WITH made AS (INSERT INTO nodes (id) SELECT gen_random_uuid() FROM generate_series(1, $2) RETURNING id)
     INSERT INTO cluster_memberships (cluster_id, node_id, name, os, arch, capabilities)
     SELECT $1, m.id, 'n' || row_number() OVER (), 'linux', 'x64', ARRAY['can_run_vpn_exit'] FROM made AS m`,
    [clusterId, count],
  );
}

const byNode = (results: Result[]) =>
  Object.fromEntries(results.map(({ nodeId, outcome }) => [nodeId, outcome]));

describe('a bulk assignment', () => {
  it('answers for each node, gives the role to those that can have it, and tells of each', async () => {
    const first = await admittedNode(controlPlane);
    const { clusterId } = first;
    const second = await admittedNode(controlPlane, clusterId);
    const unable = await admittedNode(controlPlane, clusterId, { capabilities: ['can_route_mesh'] });
    const revoked = await admittedNode(controlPlane, clusterId);
    const holder = await admittedNode(controlPlane, clusterId);
    const path = `/clusters/${clusterId}`;
    await api.post(`${path}/nodes/${revoked.nodeId}/revoke`, { reason: 'Gone.' });
    await api.post(`${path}/nodes/${second.nodeId}/disable`);
    const held = created(
      await api.post(`${path}/role-assignments`, { nodeId: holder.nodeId, role: 'vpn-exit' }),
    ) as { id: string };
    await api.post(`${path}/role-assignments/${held.id}/disable`);
    const stranger = newId();
    const nodeIds = [stranger, first, second, unable, revoked, holder, first].map((each) =>
      typeof each === 'string' ? each : each.nodeId,
    );
    const requestId = newId();
    const validUntil = '2099-01-01T00:00:00.000Z';
    const answer = await api.post(
      `${path}/role-assignments/bulk`,
      { selector: { nodeIds }, role: 'vpn-exit', policy: { maxTunnels: 5 }, validUntil },
      { 'x-request-id': requestId },
    );
    expect(answer).toMatchObject({ status: 200, body: { assigned: 2, alreadyAssigned: 1, refused: 3 } });
    const results: Result[] = answer.body.results;
    expect(results.map(({ nodeId }) => nodeId)).toEqual([...new Set(nodeIds)].sort());
    const of = (node: TestNode | string) =>
      results.find(({ nodeId }) => nodeId === (typeof node === 'string' ? node : node.nodeId));
    const assigned = { outcome: 'assigned', code: null, detail: null, assignmentId: expect.any(String) };
    expect(of(first)).toMatchObject(assigned);
    expect(of(second)).toMatchObject(assigned);
    expect(of(holder)).toMatchObject({ outcome: 'already_assigned', code: null, assignmentId: held.id });
    expect(of(unable)).toMatchObject({
      outcome: 'refused',
      code: 'capability_missing',
      detail: 'The node does not report can_run_vpn_exit.',
      assignmentId: null,
    });
    for (const node of [stranger, revoked])
      expect(of(node)).toMatchObject({ outcome: 'refused', code: 'node_not_member' });
    const shown = await api.get(`${path}/role-assignments/${of(first)?.assignmentId}`);
    expect(shown.body).toMatchObject({
      nodeId: first.nodeId,
      role: 'vpn-exit',
      effective: true,
      policy: { maxTunnels: 5 },
      validUntil,
      assignedBy: { type: 'bootstrap' },
    });
    const events = await controlPlane.database.query<{ resource_id: string; high_risk: boolean }>(
      `SELECT resource_id, high_risk FROM audit_events WHERE request_id = $1 AND action = 'role_assignment.created'`,
      [requestId],
    );
    expect(events.map(({ resource_id }) => resource_id).sort()).toEqual(
      [of(first)?.assignmentId, of(second)?.assignmentId].sort(),
    );
    expect(events.every(({ high_risk }) => high_risk)).toBe(true);
    const { body: snapshot } = await api.get(`${path}/nodes/${first.nodeId}/snapshot`);
    expect(snapshot.roles).toMatchObject([{ role: 'vpn-exit', policy: { maxTunnels: 5 }, validUntil }]);
  });

  it('changes nothing the second time, and is one of many at once', async () => {
    const { id } = await given(controlPlane).cluster();
    await crowd(id, 40);
    const answers = await Promise.all(Array.from({ length: 5 }, () => bulk(id, { selector: {} })));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    const given40 = answers.filter(({ body }) => body.assigned === 40);
    expect(given40).toHaveLength(1);
    const ids = (results: Result[]) => results.map(({ assignmentId }) => assignmentId);
    for (const { body } of answers) expect(ids(body.results)).toEqual(ids(given40[0]?.body.results));
    const rows = await controlPlane.database.query(
      `SELECT 1 FROM audit_events WHERE cluster_id = $1 AND action = 'role_assignment.created'`,
      [id],
    );
    expect(rows).toHaveLength(40);
  });

  it('selects by group with all below it, labels, roles, names and filter, by all that is said', async () => {
    const { id } = await given(controlPlane).cluster();
    const path = `/clusters/${id}`;
    const group = async (parentId?: string) =>
      (created(await api.post(`${path}/node-groups`, { name: 'g', parentId })) as { id: string }).id;
    const above = await group();
    const below = await group(above);
    const [one, two, three] = [
      await admittedNode(controlPlane, id, { name: 'one' }),
      await admittedNode(controlPlane, id, { name: 'two' }),
      await admittedNode(controlPlane, id, { name: 'three' }),
    ];
    const [a, b, c] = [one.nodeId, two.nodeId, three.nodeId];
    await api.patch(`${path}/nodes/${a}`, { groupId: above, labels: { site: 'msk', ring: '1' } });
    await api.patch(`${path}/nodes/${b}`, { groupId: below, labels: { site: 'msk' } });
    created(await api.post(`${path}/role-assignments`, { nodeId: c, role: 'relay-node' }));
    created(await api.post(`${path}/role-assignments`, { nodeId: a, role: 'core-mesh' }));
    const selectedBy = async (selector: Record<string, unknown>) => {
      const { body, status } = await api.post(`${path}/role-assignments/bulk?dryRun=true`, {
        selector,
        role: 'vpn-exit',
      });
      expect(status).toBe(200);
      return (body.result.results as Result[]).map(({ nodeId }) => nodeId);
    };
    expect(await selectedBy({})).toEqual([a, b, c].sort());
    expect(await selectedBy({ groupId: above })).toEqual([a, b].sort());
    expect(await selectedBy({ groupId: below })).toEqual([b]);
    expect(await selectedBy({ labels: { site: 'msk' } })).toEqual([a, b].sort());
    expect(await selectedBy({ labels: { site: 'msk', ring: '1' } })).toEqual([a]);
    expect(await selectedBy({ roles: ['relay-node', 'core-mesh'] })).toEqual([a, c].sort());
    expect(await selectedBy({ nodeIds: [c, a] })).toEqual([a, c].sort());
    expect(await selectedBy({ filter: 'name = "two" OR role = "relay-node"' })).toEqual([b, c].sort());
    expect(await selectedBy({ groupId: above, filter: 'labels.ring:*' })).toEqual([a]);
    expect(await selectedBy({ labels: { site: 'spb' } })).toEqual([]);
  });

  it.each<[string, Record<string, unknown>, string, string]>([
    [
      'an unknown field of the filter',
      { selector: { filter: 'king = "x"' } },
      'invalid_request',
      '#/selector/filter',
    ],
    ['a filter that is none', { selector: { filter: 'name =' } }, 'invalid_request', '#/selector/filter'],
    [
      'an unknown role to select by',
      { selector: { roles: ['king'] } },
      'invalid_request',
      '#/selector/roles/0',
    ],
    [
      'a group of another cluster',
      { selector: { groupId: newId() } },
      'group_not_found',
      '#/selector/groupId',
    ],
    ['no selector', {}, 'invalid_request', '#/selector'],
    ['an unknown criterion', { selector: { name: 'x' } }, 'invalid_request', '#/selector/name'],
    [
      'a policy of another role',
      { selector: {}, policy: { maxPeers: 1 } },
      'invalid_request',
      '#/policy/maxPeers',
    ],
    [
      'an organization where the role has none',
      { selector: {}, role: 'core-mesh', organizationId: newId() },
      'invalid_request',
      '#/organizationId',
    ],
    [
      'an end that has passed',
      { selector: {}, validUntil: '2020-01-01T00:00:00Z' },
      'invalid_request',
      '#/validUntil',
    ],
  ])('refuses %s', async (_, body, code, pointer) => {
    const { id } = await given(controlPlane).cluster();
    const answer = await bulk(id, body);
    expect({ status: answer.status, code: answer.body.code }).toEqual({ status: 422, code });
    expect(answer.body.errors).toContainEqual(expect.objectContaining({ pointer }));
  });

  it('needs a credential made for it, and authority', async () => {
    const node = await admittedNode(controlPlane);
    const { token } = created(
      await api.post('/api-tokens', { name: 'careless', permissions: ['role_assignments.create'] }),
    ) as { token: string };
    expect((await bulk(node.clusterId, { selector: {} }, api.as(token))).body.code).toBe(
      'high_risk_credential_required',
    );
    const move = { to: 'partitioned', reason: 'A drill.', expectedTerm: 1 };
    created(await api.post(`/clusters/${node.clusterId}/authority/transitions`, move));
    expect((await bulk(node.clusterId, { selector: {} })).body.code).toBe('cluster_not_authoritative');
  });

  it('is shown for each node that it would change, and can be applied as it was reviewed', async () => {
    const { id } = await given(controlPlane).cluster();
    await crowd(id, 120);
    const path = `/clusters/${id}/role-assignments/bulk`;
    const body = { selector: { filter: 'capability = "can_run_vpn_exit"' }, role: 'vpn-exit' };
    const plan = (await api.post(`${path}?dryRun=true`, body)).body;
    expect(plan).toMatchObject({ affectedNodes: 120, changesTruncated: true, result: { assigned: 120 } });
    expect(plan.changes).toHaveLength(100);
    for (const { before, after, patch } of plan.changes) {
      expect(before.roles).toEqual([]);
      expect(after.roles).toMatchObject([{ role: 'vpn-exit' }]);
      expect(patch).toContainEqual(expect.objectContaining({ op: 'add', path: '/roles/0' }));
    }
    expect((await api.post(`${path}?dryRun=true`, body)).body.planHash).toBe(plan.planHash);
    const applied = await api.post(path, body, { 'x-plan-hash': plan.planHash });
    expect(applied).toMatchObject({ status: 200, body: { assigned: 120 } });
    expect(byNode(applied.body.results)).toEqual(byNode(plan.result.results));
    const again = await api.post(path, body, { 'x-plan-hash': plan.planHash });
    expect(again).toMatchObject({ status: 409, body: { code: 'plan_changed' } });
  });

  it('takes ten thousand nodes, and says when there are more', async () => {
    const { id } = await given(controlPlane).cluster();
    await crowd(id, 10_000);
    const answer = await bulk(id, { selector: {} });
    expect({ status: answer.status, code: answer.body.code }).toEqual({ status: 200, code: undefined });
    expect(answer.body).toMatchObject({ assigned: 10_000, alreadyAssigned: 0, refused: 0 });
    const [numbered] = await controlPlane.database.query<{ count: number }>(
      'SELECT count(*)::int AS count FROM node_generations WHERE cluster_id = $1 AND generation_counter = 1',
      [id],
    );
    expect(numbered?.count).toBe(10_000);
    await admittedNode(controlPlane, id);
    expect(await bulk(id, { selector: {}, role: 'config-storage' })).toMatchObject({
      status: 422,
      body: { code: 'selection_too_large', errors: [{ pointer: '#/selector' }] },
    });
  });
});
