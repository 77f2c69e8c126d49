import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { Answer, Api } from '../support/api.js';
import { countByStatus } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given } from '../support/given.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

const organizationId = '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21';

let controlPlane: ControlPlane;
let api: Api;
let node: TestNode;
let path: string;
beforeAll(async () => {
  controlPlane = await startControlPlane();
  api = controlPlane.api;
});
afterAll(() => controlPlane?.close());
beforeEach(async () => {
  node = await admittedNode(controlPlane, undefined, {
    capabilities: ['can_run_vpn_exit', 'can_run_ssh_worker'],
  });
  path = `/clusters/${node.clusterId}/role-assignments`;
});

const assign = (body: Record<string, unknown> = {}, as: Api = api): Promise<Answer> =>
  as.post(path, { nodeId: node.nodeId, role: 'vpn-exit', ...body });

async function tokenWith(permissions: string[], more: Record<string, unknown> = {}): Promise<Api> {
  const body = {
    name: 'script',
    permissions,
    expiresInSeconds: 3600,
    highRisk: true,
    clusterId: node.clusterId,
    ...more,
  };
  return api.as((created(await api.post('/api-tokens', body)) as { token: string }).token);
}

async function actionsOf(id: string): Promise<string[]> {
  const rows = await controlPlane.database.query<{ action: string }>(
    'SELECT action FROM audit_events WHERE resource_id = $1 ORDER BY id',
    [id],
  );
  return rows.map(({ action }) => action);
}

/** Roles in the snapshot of the node, as the platform sees it. */
async function snapshotRoles(): Promise<string[]> {
  const { body } = await api.get(`/clusters/${node.clusterId}/nodes/${node.nodeId}/snapshot`);
  const roles: { role: string }[] = (body.payload ?? body).roles;
  return roles.map(({ role }) => role);
}
const generation = async () =>
  (await api.get(`/clusters/${node.clusterId}/nodes/${node.nodeId}`)).body.snapshotGeneration as number;

describe('the role catalogue', () => {
  it('lists every role by name, in pages', async () => {
    const { status, body } = await api.get('/role-catalog');
    expect(status).toBe(200);
    expect(body.nextCursor).toBeNull();
    expect(body.items).toHaveLength(13);
    expect(body.items.at(-1)).toEqual({
      name: 'vpn-exit',
      description: expect.any(String),
      requiredCapabilities: ['can_run_vpn_exit'],
      serviceTypes: ['vpn-exit'],
      organizationScopable: true,
      policySchema: expect.objectContaining({ type: 'object', additionalProperties: false }),
    });
    const first = await api.get('/role-catalog?limit=12');
    const second = await api.get(`/role-catalog?limit=12&cursor=${first.body.nextCursor}`);
    expect([...first.body.items, ...second.body.items]).toEqual(body.items);
  });
});

describe('assigning a role', () => {
  it('gives it to the node: in the answer, the node, the snapshot and the audit log', async () => {
    const before = await generation();
    const answer = await assign({ policy: { maxSessions: 3 }, validUntil: '2099-01-01T00:00:00+03:00' });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('location')).toBe(`/api/v1${path}/${answer.body.id}`);
    expect(answer.body).toEqual({
      id: expect.any(String),
      clusterId: node.clusterId,
      nodeId: node.nodeId,
      role: 'vpn-exit',
      organizationId: null,
      status: 'active',
      effective: true,
      ineffectiveReason: null,
      policy: { maxSessions: 3 },
      validFrom: null,
      validUntil: '2098-12-31T21:00:00.000Z',
      assignedAt: expect.stringMatching(/\.\d{3}Z$/),
      assignedBy: { type: 'bootstrap', id: 'bootstrap' },
    });
    const shown = await api.get(`${path}/${answer.body.id}`);
    expect(shown.body).toEqual(answer.body);
    expect(shown.headers.get('etag')).toBe(answer.headers.get('etag'));
    expect((await api.get(`/clusters/${node.clusterId}/nodes/${node.nodeId}`)).body.roles).toEqual([
      'vpn-exit',
    ]);
    expect(await snapshotRoles()).toEqual(['vpn-exit']);
    expect(await generation()).toBeGreaterThan(before);
    expect(await actionsOf(answer.body.id)).toEqual(['role_assignment.created']);
  });

  it('says what it would change in a dry run, and changes nothing', async () => {
    const { body } = await api.post(`${path}?dryRun=true`, { nodeId: node.nodeId, role: 'vpn-exit' });
    expect(body).toMatchObject({ dryRun: true, affectedNodes: 1, changes: [{ nodeId: node.nodeId }] });
    expect((await api.get(path)).body.items).toEqual([]);
  });

  it('refuses the same again, disabled or not, and names the assignment', async () => {
    const { id } = (await assign()).body;
    expect(await assign()).toMatchObject({
      status: 409,
      body: { code: 'role_already_assigned', assignmentId: id },
    });
    await api.post(`${path}/${id}/disable`);
    expect(await assign()).toMatchObject({ status: 409, body: { assignmentId: id } });
    const scoped = await assign({ organizationId });
    expect(scoped.status).toBe(201);
    expect(await assign({ organizationId })).toMatchObject({
      status: 409,
      body: { assignmentId: scoped.body.id },
    });
  });

  it('gives it once, however many try at once', async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => assign()));
    expect(countByStatus(answers)).toEqual({ 201: 1, 409: 9 });
    const winner = answers.find(({ status }) => status === 201)?.body.id;
    for (const { status, body } of answers) if (status === 409) expect(body.assignmentId).toBe(winner);
  });

  it('refuses a node that is no member, never was one, or is revoked', async () => {
    const elsewhere = await admittedNode(controlPlane);
    expect(await assign({ nodeId: elsewhere.nodeId })).toMatchObject({
      status: 422,
      body: { code: 'node_not_member' },
    });
    expect((await assign({ nodeId: organizationId })).body.code).toBe('node_not_member');
    await api.post(`/clusters/${node.clusterId}/nodes/${node.nodeId}/revoke`, { reason: 'Gone.' });
    expect((await assign()).body.code).toBe('node_not_member');
  });

  it('refuses a role whose capability the node does not report, or the policy denies', async () => {
    expect(await assign({ role: 'relay-node' })).toMatchObject({
      status: 409,
      body: { code: 'capability_missing', missing: ['can_route_mesh'], denied: [] },
    });
    await api.put(`/clusters/${node.clusterId}/policy`, {
      capabilityPolicy: { denied: ['can_run_vpn_exit'] },
    });
    expect(await assign()).toMatchObject({
      status: 409,
      body: { code: 'capability_missing', denied: ['can_run_vpn_exit'] },
    });
    expect((await assign({ role: 'config-storage' })).status).toBe(201);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['an unknown role', { role: 'king' }, '#/role'],
    ['a node id that is none', { nodeId: 'x' }, '#/nodeId'],
    [
      'an organization where the role has none',
      { role: 'config-storage', organizationId },
      '#/organizationId',
    ],
    [
      'a range that is empty',
      { validFrom: '2030-01-01T00:00:00Z', validUntil: '2030-01-01T00:00:00Z' },
      '#/validUntil',
    ],
    ['an end that has passed', { validUntil: '2020-01-01T00:00:00Z' }, '#/validUntil'],
    ['an instant that no clock shows', { validFrom: '0000-01-01T00:00:00Z' }, '#/validFrom'],
    ['an instant that is none', { validFrom: 'tomorrow' }, '#/validFrom'],
    ['a policy that is too large', { policy: { 'x-text': 'x'.repeat(17_000) } }, '#/policy'],
    ['a limit of the policy that is no number', { policy: { maxTunnels: 'many' } }, '#/policy/maxTunnels'],
    ['a limit of the policy that is misspelt', { policy: { maxTunels: 5 } }, '#/policy/maxTunels'],
    ['a policy of another role', { role: 'core-mesh', policy: { maxTunnels: 5 } }, '#/policy/maxTunnels'],
    ['an unknown member', { node: 'x' }, '#/node'],
  ])('refuses %s', async (_, body, pointer) => {
    const answer = await assign(body);
    expect(answer.status).toBe(422);
    expect(answer.body.errors).toContainEqual(expect.objectContaining({ pointer }));
  });

  it("takes the policies that the catalogue publishes, and what is the operator's own", async () => {
    const { policySchema } = (await api.get('/role-catalog')).body.items.at(-1);
    const published = new Ajv2020().compile(policySchema);
    const policies = [
      { maxTunnels: 100, 'x-contract': { number: 17 } },
      { weight: 0 },
      { weight: 1001 },
      { maxTunnels: 0 },
      { 'X-contract': 17 },
    ];
    expect(policies.map((policy) => published(policy))).toEqual([true, true, false, false, false]);
    for (const policy of policies) {
      const { status, body } = await api.post(`${path}?dryRun=true`, {
        nodeId: node.nodeId,
        role: 'vpn-exit',
        policy,
      });
      expect(status).toBe(published(policy) ? 200 : 422);
      if (status === 200) expect(body.changes[0].after.roles[0].policy).toEqual(policy);
    }
  });

  it('needs the permission and a credential made for high-risk work, and authority', async () => {
    expect((await assign({}, await tokenWith(['role_assignments.read']))).status).toBe(403);
    const careless = await tokenWith(['role_assignments.create'], { highRisk: false });
    expect((await assign({}, careless)).body.code).toBe('high_risk_credential_required');
    await controlPlane.database.query(
      `UPDATE cluster_authorities SET state = 'degraded' WHERE cluster_id = $1`,
      [node.clusterId],
    );
    expect(await assign()).toMatchObject({ status: 409, body: { code: 'cluster_not_authoritative' } });
  });
});

describe('disabling and enabling', () => {
  it('takes the role from the snapshot and gives it back, and again changes nothing', async () => {
    const { id } = (await assign()).body;
    const disabled = await api.post(`${path}/${id}/disable`);
    expect(disabled).toMatchObject({
      status: 200,
      body: { status: 'disabled', effective: false, ineffectiveReason: 'disabled' },
    });
    const at = await generation();
    expect(await api.post(`${path}/${id}/disable`)).toMatchObject({ status: 200, body: disabled.body });
    expect(await snapshotRoles()).toEqual([]);
    expect(await generation()).toBe(at);
    expect(await api.post(`${path}/${id}/enable`)).toMatchObject({
      status: 200,
      body: { status: 'active', effective: true },
    });
    expect((await api.post(`${path}/${id}/enable`)).status).toBe(200);
    expect(await snapshotRoles()).toEqual(['vpn-exit']);
    expect(await actionsOf(id)).toEqual([
      'role_assignment.created',
      'role_assignment.disabled',
      'role_assignment.enabled',
    ]);
  });

  it('leaves one event of many at once', async () => {
    const { id } = (await assign()).body;
    const answers = await Promise.all(Array.from({ length: 8 }, () => api.post(`${path}/${id}/disable`)));
    expect(countByStatus(answers)).toEqual({ 200: 8 });
    expect(await actionsOf(id)).toEqual(['role_assignment.created', 'role_assignment.disabled']);
  });

  it('without authority only takes', async () => {
    const { id } = (await assign()).body;
    await controlPlane.database.query(
      `UPDATE cluster_authorities SET state = 'partitioned' WHERE cluster_id = $1`,
      [node.clusterId],
    );
    expect((await api.post(`${path}/${id}/disable`)).status).toBe(200);
    expect(await api.post(`${path}/${id}/enable`)).toMatchObject({
      status: 409,
      body: { code: 'cluster_not_authoritative' },
    });
    expect((await api.delete(`${path}/${id}`)).status).toBe(204);
  });

  it('needs the permission', async () => {
    const { id } = (await assign()).body;
    const reader = await tokenWith(['role_assignments.read']);
    expect((await reader.post(`${path}/${id}/disable`)).status).toBe(403);
    expect((await reader.delete(`${path}/${id}`)).status).toBe(403);
    expect((await reader.get(`${path}/${id}`)).status).toBe(200);
  });
});

describe('taking a role away', () => {
  it('removes it from node and snapshot, and it can be given anew', async () => {
    const { id } = (await assign()).body;
    expect((await api.delete(`${path}/${id}`)).status).toBe(204);
    expect((await api.delete(`${path}/${id}`)).status).toBe(404);
    expect(await snapshotRoles()).toEqual([]);
    expect(await actionsOf(id)).toEqual(['role_assignment.created', 'role_assignment.deleted']);
    expect((await assign()).status).toBe(201);
  });

  it('heeds If-Match, which looks at the assignment and not at the node', async () => {
    const first = await assign();
    await api.post(`${path}/${first.body.id}/disable`);
    const stale = await api.delete(`${path}/${first.body.id}`, undefined, {
      'if-match': first.headers.get('etag') ?? '',
    });
    expect(stale).toMatchObject({ status: 412, body: { code: 'precondition_failed' } });
    const current = await api.post(`${path}/${first.body.id}/enable`);
    await api.post(`/clusters/${node.clusterId}/nodes/${node.nodeId}/disable`);
    const seen = await api.get(`${path}/${first.body.id}`);
    expect(seen.body).toMatchObject({ effective: false, ineffectiveReason: 'membership_disabled' });
    expect(seen.headers.get('etag')).not.toBe(current.headers.get('etag'));
    const done = await api.delete(`${path}/${first.body.id}`, undefined, {
      'if-match': current.headers.get('etag') ?? '',
    });
    expect(done.status).toBe(204);
  });
});

describe('whether an assignment is effective', () => {
  const reasonOf = async (id: string) => (await api.get(`${path}/${id}`)).body.ineffectiveReason;

  it('follows the membership', async () => {
    const { id } = (await assign()).body;
    await api.post(`/clusters/${node.clusterId}/nodes/${node.nodeId}/disable`);
    expect(await reasonOf(id)).toBe('membership_disabled');
    await api.post(`/clusters/${node.clusterId}/nodes/${node.nodeId}/revoke`, { reason: 'Gone.' });
    expect(await reasonOf(id)).toBe('membership_revoked');
  });

  it('follows what the node reports and what the policy denies, and so does the snapshot', async () => {
    const { id } = (await assign()).body;
    const agent = await node.api();
    const facts = { os: 'linux', arch: 'x64', hostname: 'h' };
    expect(
      (await agent.put('/node-agents/me/capabilities', { capabilities: [], facts })).status,
    ).toBeLessThan(300);
    expect(await reasonOf(id)).toBe('capability_missing');
    expect(await snapshotRoles()).toEqual([]);
    await agent.put('/node-agents/me/capabilities', { capabilities: ['can_run_vpn_exit'], facts });
    expect(await reasonOf(id)).toBeNull();
    await api.put(`/clusters/${node.clusterId}/policy`, {
      capabilityPolicy: { denied: ['can_run_vpn_exit'] },
    });
    expect(await reasonOf(id)).toBe('capability_denied');
    expect(await snapshotRoles()).toEqual([]);
  });

  it('follows the clock, while the snapshot carries the range', async () => {
    const { id } = (await assign({ validFrom: '2099-01-01T00:00:00Z' })).body;
    expect(await reasonOf(id)).toBe('not_yet_valid');
    expect(await snapshotRoles()).toEqual(['vpn-exit']);
    await controlPlane.database.query(
      'UPDATE node_role_assignments SET valid_from = NULL, valid_until = now() - make_interval(secs => 0.001) WHERE id = $1',
      [id],
    );
    expect(await reasonOf(id)).toBe('no_longer_valid');
  });
});

describe('listing', () => {
  it('filters and pages, newest first', async () => {
    const other = await admittedNode(controlPlane, node.clusterId, { capabilities: ['can_run_vpn_exit'] });
    const one = (await assign()).body.id;
    const two = (await assign({ role: 'ssh-worker', organizationId })).body.id;
    const three = (await assign({ nodeId: other.nodeId })).body.id;
    await api.post(`${path}/${one}/disable`);
    const ids = async (query: string) =>
      (await api.get(`${path}?${query}`)).body.items.map(({ id }: { id: string }) => id);
    expect(await ids('')).toEqual([three, two, one]);
    expect(await ids(`nodeId=${node.nodeId}`)).toEqual([two, one]);
    expect(await ids('role=vpn-exit')).toEqual([three, one]);
    expect(await ids(`organizationId=${organizationId}`)).toEqual([two]);
    expect(await ids('status=disabled')).toEqual([one]);
    const first = await api.get(`${path}?limit=2`);
    const second = await api.get(`${path}?limit=2&cursor=${first.body.nextCursor}`);
    expect(second.body.items.map(({ id }: { id: string }) => id)).toEqual([one]);
    expect((await api.get(`${path}?role=king`)).status).toBe(400);
    expect((await api.get(`${path}?limit=1&role=vpn-exit&cursor=${first.body.nextCursor}`)).body.code).toBe(
      'invalid_cursor',
    );
  });

  it('shows nothing of another cluster', async () => {
    const { id } = (await assign()).body;
    const other = (await given(controlPlane).cluster()).id;
    for (const call of ['get', 'delete'] as const) {
      expect((await api[call](`/clusters/${other}/role-assignments/${id}`)).status).toBe(404);
    }
    expect((await api.post(`/clusters/${other}/role-assignments/${id}/disable`)).status).toBe(404);
    expect((await api.get(`${path}/nonsense`)).status).toBe(404);
  });
});
