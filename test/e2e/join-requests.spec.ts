import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Jobs } from '../../src/common/jobs/jobs.js';
import type { Answer, Api } from '../support/api.js';
import { Applicant, countByStatus } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import { until } from '../support/until.js';

let controlPlane: ControlPlane;
let api: Api;
let clusterId: string;
let path: string;
beforeAll(async () => {
  controlPlane = await startControlPlane();
  api = controlPlane.api;
});
afterAll(() => controlPlane?.close());
beforeEach(async () => {
  clusterId = (await given(controlPlane).cluster()).id;
  path = `/clusters/${clusterId}/join-requests`;
});

/** A pending request, by its id, and who made it. */
async function pending(
  body: Record<string, unknown> = {},
  input: Record<string, unknown> = {},
): Promise<{ id: string; host: Applicant; tokenId: string; token: string }> {
  const { id: tokenId, token } = await given(controlPlane).joinToken(clusterId, input);
  const host = new Applicant(controlPlane.url, body.nodeName as string | undefined);
  const { joinRequestId } = created(await host.enroll(token, { body })) as { joinRequestId: string };
  return { id: joinRequestId, host, tokenId, token };
}

async function tokenWith(permissions: string[], more: Record<string, unknown> = {}): Promise<Api> {
  const { token } = created(
    await api.post('/api-tokens', {
      name: 'script',
      permissions,
      expiresInSeconds: 3600,
      highRisk: true,
      clusterId,
      ...more,
    }),
  ) as { token: string };
  return api.as(token);
}

async function eventsOf(id: string) {
  return controlPlane.database.query<{
    action: string;
    high_risk: boolean;
    reason: string | null;
    after: Record<string, unknown>;
  }>('SELECT action, high_risk, reason, after FROM audit_events WHERE resource_id = $1 ORDER BY id', [id]);
}

const actionsOf = async (id: string) => (await eventsOf(id)).map(({ action }) => action);
const approve = (id: string, body?: unknown, as: Api = api): Promise<Answer> =>
  as.post(`${path}/${id}/approve`, body);
const nodeOf = async (answer: Answer) =>
  (await api.get(`/clusters/${clusterId}/nodes/${answer.body.approvedNodeId}`)).body;
const expire = (id: string) =>
  controlPlane.database.query(
    'UPDATE node_join_requests SET expires_at = now() - make_interval(secs => 0.001) WHERE id = $1',
    [id],
  );

describe('approving', () => {
  it('makes the node a member under the name that it asked for', async () => {
    const { id, host } = await pending();
    const answer = await approve(id);
    expect(answer).toMatchObject({
      status: 200,
      body: {
        id,
        status: 'approved',
        reviewedBy: { type: 'bootstrap' },
        reviewedAt: expect.any(String),
        warnings: [],
      },
    });
    expect(await nodeOf(answer)).toMatchObject({
      name: host.nodeName,
      membershipStatus: 'active',
      capabilities: ['can_route_mesh', 'can_run_vpn_exit'],
      facts: { hostname: host.nodeName },
      roles: [],
    });
    expect((await api.get(`${path}/${id}`)).body).toEqual(answer.body);
    expect(await eventsOf(id)).toMatchObject([
      { action: 'join_request.received', high_risk: false },
      {
        action: 'join_request.approved',
        high_risk: true,
        after: { nodeId: answer.body.approvedNodeId, automatic: false },
      },
    ]);
  });

  it('gives name, labels, group and roles as the reviewer says', async () => {
    const { id } = await pending();
    const groups = await api.post(`/clusters/${clusterId}/node-groups`, { name: 'rack-7' });
    const groupId = groups.status === 201 ? (groups.body.id as string) : null;
    const answer = await approve(id, {
      nodeName: 'edge-9',
      labels: { site: 'msk' },
      groupId,
      roles: ['vpn-exit', 'relay-node'],
    });
    expect(answer.status).toBe(200);
    expect(await nodeOf(answer)).toMatchObject({
      name: 'edge-9',
      labels: { site: 'msk' },
      groupId,
      roles: ['relay-node', 'vpn-exit'],
    });
    const roles = await api.get(
      `/clusters/${clusterId}/role-assignments?nodeId=${answer.body.approvedNodeId}`,
    );
    expect(roles.body.items).toHaveLength(2);
    expect(roles.body.items[0]).toMatchObject({
      status: 'active',
      effective: true,
      assignedBy: { type: 'bootstrap' },
    });
  });

  it('gives, unless told otherwise, the roles of the scope that the node asks for and can have', async () => {
    const scope = { roles: ['vpn-exit', 'relay-node', 'rdp-worker'] };
    const one = await pending({ requestedRoles: ['vpn-exit', 'rdp-worker'] }, { scope });
    expect(await nodeOf(await approve(one.id))).toMatchObject({ roles: ['vpn-exit'] });
    const other = await pending({ requestedRoles: ['vpn-exit'] }, { scope });
    expect(await nodeOf(await approve(other.id, { roles: [] }))).toMatchObject({ roles: [] });
    const unscoped = await pending({ requestedRoles: ['vpn-exit'] });
    expect(await nodeOf(await approve(unscoped.id))).toMatchObject({ roles: [] });
  });

  it('can be bound to what was reviewed', async () => {
    const { id, host, token } = await pending();
    const { requestDigest } = (await api.get(`${path}/${id}`)).body;
    await host.enroll(token, { body: { capabilities: [] } });
    const changed = await approve(id, { requestDigest });
    expect(changed).toMatchObject({ status: 409, body: { code: 'join_request_changed' } });
    const now = (await api.get(`${path}/${id}`)).body.requestDigest;
    expect(changed.body.requestDigest).toBe(now);
    expect((await approve(id, { requestDigest: now })).status).toBe(200);
  });

  it('happens once, however many decide at once', async () => {
    const { id, tokenId } = await pending();
    const decisions = Array.from({ length: 12 }, (_, index) =>
      index % 3 === 0 ? api.post(`${path}/${id}/reject`, { reason: 'No.' }) : approve(id),
    );
    const answers = await Promise.all(decisions);
    expect(countByStatus(answers)).toEqual({ 200: 1, 409: 11 });
    for (const { status, body } of answers)
      if (status === 409) expect(body.code).toBe('join_request_decided');
    const { status } = (await api.get(`${path}/${id}`)).body;
    const { items } = (await api.get(`/clusters/${clusterId}/nodes`)).body;
    const { usedCount } = (await api.get(`/clusters/${clusterId}/join-tokens/${tokenId}`)).body;
    expect({ nodes: items.length, usedCount }).toEqual(
      status === 'approved' ? { nodes: 1, usedCount: 1 } : { nodes: 0, usedCount: 0 },
    );
    expect(await actionsOf(id)).toHaveLength(2);
  });

  it('and the node taking its request back have one winner', async () => {
    for (let round = 0; round < 5; round += 1) {
      const { id, host } = await pending();
      const [approval, cancelling] = await Promise.all([approve(id), host.cancel(id)]);
      expect([`${approval.status} ${cancelling.status}`]).toEqual([
        expect.stringMatching(/^(200 409|409 204)$/),
      ]);
    }
  });

  it('is replayed by its idempotency key', async () => {
    const { id } = await pending();
    const headers = { 'idempotency-key': unique('key') };
    const first = await api.post(`${path}/${id}/approve`, {}, headers);
    const second = await api.post(`${path}/${id}/approve`, {}, headers);
    expect(second).toMatchObject({ status: 200, body: first.body });
    expect(second.headers.get('idempotency-replayed')).toBe('true');
  });

  it('leaves nothing behind in a dry run', async () => {
    const { id } = await pending();
    const plan = await api.post(`${path}/${id}/approve?dryRun=true`, { roles: ['vpn-exit'] });
    expect(plan).toMatchObject({
      status: 200,
      body: { dryRun: true, affectedNodes: 1, result: { status: 'approved' } },
    });
    expect((await api.get(`${path}/${id}`)).body.status).toBe('pending');
    const applied = await api.post(
      `${path}/${id}/approve`,
      { roles: ['vpn-exit'] },
      { 'x-plan-hash': plan.body.planHash },
    );
    expect(applied.status).toBe(200);
  });

  it.each<[string, Record<string, unknown>, Record<string, unknown>, string]>([
    ['a role', { roles: ['vpn-exit'] }, { roles: ['relay-node'] }, '#/roles'],
    ['a name', { nodeNamePattern: 'edge-*' }, { nodeName: 'core-1' }, '#/nodeName'],
  ])('refuses %s outside the scope of the token', async (_, scope, body, pointer) => {
    const { id } = await pending({ nodeName: unique('edge') }, { scope });
    const answer = await approve(id, body);
    expect(answer).toMatchObject({
      status: 422,
      body: { code: 'outside_token_scope', errors: [{ pointer }] },
    });
    expect((await api.get(`${path}/${id}`)).body.status).toBe('pending');
  });

  it('holds to the group and the organization of the token', async () => {
    const group = created(await api.post(`/clusters/${clusterId}/node-groups`, { name: 'rack-8' })) as {
      id: string;
    };
    const organizationId = '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21';
    const scope = { groupId: group.id, organizationId, roles: ['vpn-exit'] };
    const { id } = await pending({ requestedRoles: ['vpn-exit'] }, { scope });
    for (const groupId of [null, organizationId])
      expect(await approve(id, { groupId })).toMatchObject({
        status: 422,
        body: { code: 'outside_token_scope', errors: [{ pointer: '#/groupId' }] },
      });
    const answer = await approve(id);
    expect(await nodeOf(answer)).toMatchObject({ groupId: group.id, roles: ['vpn-exit'] });
    const roles = await api.get(
      `/clusters/${clusterId}/role-assignments?nodeId=${answer.body.approvedNodeId}`,
    );
    expect(roles.body.items).toMatchObject([{ role: 'vpn-exit', organizationId }]);
  });

  it('refuses roles that the node cannot have, and admits nobody by halves', async () => {
    const { id } = await pending();
    expect(await approve(id, { roles: ['vpn-exit', 'rdp-worker'] })).toMatchObject({
      status: 409,
      body: { code: 'capability_missing' },
    });
    expect((await api.get(`/clusters/${clusterId}/nodes`)).body.items).toEqual([]);
  });

  it('refuses a name that another member has', async () => {
    const [one, other] = [await pending({ nodeName: 'edge-1' }), await pending({ nodeName: 'edge-1' })];
    expect((await approve(one.id)).status).toBe(200);
    const { warnings } = (await api.get(`${path}/${other.id}`)).body;
    expect(warnings).toEqual([expect.objectContaining({ code: 'name_taken' })]);
    expect(await approve(other.id)).toMatchObject({ status: 409, body: { code: 'node_name_taken' } });
    expect((await approve(other.id, { nodeName: 'edge-2' })).status).toBe(200);
  });

  it('refuses a key that is an identity already, in this cluster or another', async () => {
    const { id, host } = await pending();
    expect((await approve(id)).status).toBe(200);
    const here = await given(controlPlane).joinToken(clusterId);
    const again = (await host.enroll(here.token)).body.joinRequestId;
    expect((await api.get(`${path}/${again}`)).body.warnings).toEqual(
      expect.arrayContaining([expect.objectContaining({ code: 'same_key_enrolled' })]),
    );
    expect(await approve(again, { nodeName: unique('node') })).toMatchObject({
      status: 409,
      body: { code: 'key_already_enrolled' },
    });
    const elsewhere = (await given(controlPlane).cluster()).id;
    const there = await given(controlPlane).joinToken(elsewhere);
    const foreign = (await host.enroll(there.token)).body.joinRequestId;
    const answer = await api.post(`/clusters/${elsewhere}/join-requests/${foreign}/approve`);
    expect(answer).toMatchObject({ status: 409, body: { code: 'key_already_enrolled' } });
  });

  it('refuses a group that the cluster does not have', async () => {
    const { id } = await pending();
    const answer = await approve(id, { groupId: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21' });
    expect(answer).toMatchObject({ status: 422, body: { code: 'group_not_found' } });
  });

  it.each<[string, unknown, string]>([
    ['an unknown member', { node: 'x' }, '#/node'],
    ['a role twice', { roles: ['vpn-exit', 'vpn-exit'] }, '#/roles'],
    ['a digest of the wrong form', { requestDigest: 'x' }, '#/requestDigest'],
    ['a name of the wrong form', { nodeName: '' }, '#/nodeName'],
  ])('refuses %s', async (_, body, pointer) => {
    const { id } = await pending();
    expect(await approve(id, body)).toMatchObject({
      status: 422,
      body: { errors: [expect.objectContaining({ pointer })] },
    });
  });

  it('needs the permission, a credential made for it, and a permission more to give roles', async () => {
    const { id } = await pending();
    expect((await approve(id, {}, await tokenWith(['join_requests.read']))).status).toBe(403);
    const careless = await approve(id, {}, await tokenWith(['join_requests.approve'], { highRisk: false }));
    expect(careless.body.code).toBe('high_risk_credential_required');
    const approver = await tokenWith(['join_requests.approve']);
    const withRoles = await approve(id, { roles: ['vpn-exit'] }, approver);
    expect(withRoles).toMatchObject({ status: 403, body: { permission: 'role_assignments.create' } });
    expect((await approve(id, {}, approver)).status).toBe(200);
  });

  it('is unknown in another cluster', async () => {
    const { id } = await pending();
    const other = (await given(controlPlane).cluster()).id;
    expect((await api.get(`/clusters/${other}/join-requests/${id}`)).status).toBe(404);
    expect((await api.post(`/clusters/${other}/join-requests/${id}/approve`)).status).toBe(404);
    expect((await api.post(`/clusters/${other}/join-requests/${id}/reject`, { reason: 'No.' })).status).toBe(
      404,
    );
  });

  it('may be kept from who made the token', async () => {
    const maker = await tokenWith(['join_tokens.create', 'join_requests.approve']);
    const { token } = created(await maker.post(`/clusters/${clusterId}/join-tokens`, {})) as {
      token: string;
    };
    const id = (await new Applicant(controlPlane.url).enroll(token)).body.joinRequestId;
    await api.put(`/clusters/${clusterId}/policy`, { tokenMakerMayApprove: false });
    expect(await approve(id, {}, maker)).toMatchObject({
      status: 403,
      body: { code: 'token_maker_may_not_approve' },
    });
    expect((await approve(id)).status).toBe(200);
  });
});

describe('a request that nobody decides', () => {
  it('is over at its instant, whether or not a worker has run', async () => {
    const { id, host } = await pending();
    const { createdAt, expiresAt } = (await api.get(`${path}/${id}`)).body;
    expect(Date.parse(expiresAt) - Date.parse(createdAt)).toBe(24 * 3_600_000);
    await expire(id);
    expect((await api.get(`${path}/${id}`)).body.status).toBe('expired');
    expect((await host.status(id)).body.status).toBe('expired');
    expect((await api.get(`${path}?status=expired`)).body.items).toHaveLength(1);
    expect((await api.get(`${path}?status=pending`)).body.items).toHaveLength(0);
    expect(await approve(id)).toMatchObject({
      status: 409,
      body: { code: 'join_request_decided', joinRequestStatus: 'expired' },
    });
    expect((await api.post(`${path}/${id}/reject`, { reason: 'No.' })).status).toBe(409);
    expect((await host.cancel(id)).status).toBe(409);
  });

  it('is written down by the worker once, also by two at the same time, and its use given back', async () => {
    const requests = [await pending(), await pending(), await pending()];
    for (const { id } of requests) await expire(id);
    const jobs = controlPlane.app.get(Jobs);
    await Promise.all([jobs.runNow('enrollment', 'expiry'), jobs.runNow('enrollment', 'expiry')]);
    await jobs.runNow('enrollment', 'expiry');
    for (const { id, tokenId } of requests) {
      // The service's own sweep may have taken them first, and be at it.
      await until(
        () => actionsOf(id),
        (actions) => actions.length > 1,
      );
      expect(await actionsOf(id)).toEqual(['join_request.received', 'join_request.expired']);
      const uses = await controlPlane.database.query<{ given: boolean }>(
        'SELECT given_back_at IS NOT NULL AS given FROM node_join_token_uses WHERE token_id = $1',
        [tokenId],
      );
      expect(uses).toEqual([{ given: true }]);
    }
  });
});

describe('rejecting', () => {
  it('refuses the node with a reason, and again is too late', async () => {
    const { id } = await pending();
    const answer = await api.post(`${path}/${id}/reject`, { reason: 'Nobody knows this host.' });
    expect(answer).toMatchObject({
      status: 200,
      body: {
        status: 'rejected',
        rejectionReason: 'Nobody knows this host.',
        reviewedBy: { type: 'bootstrap' },
        approvedNodeId: null,
      },
    });
    expect(await api.post(`${path}/${id}/reject`, { reason: 'Again.' })).toMatchObject({
      status: 409,
      body: { code: 'join_request_decided' },
    });
    expect(await eventsOf(id)).toMatchObject([
      {},
      { action: 'join_request.rejected', reason: 'Nobody knows this host.' },
    ]);
  });

  it('wants a reason, and the permission', async () => {
    const { id } = await pending();
    expect(await api.post(`${path}/${id}/reject`, {})).toMatchObject({
      status: 422,
      body: { errors: [{ pointer: '#/reason' }] },
    });
    const reader = await tokenWith(['join_requests.read']);
    expect((await reader.post(`${path}/${id}/reject`, { reason: 'No.' })).status).toBe(403);
  });

  it('goes on while the cluster is not authoritative', async () => {
    const { id } = await pending();
    await controlPlane.database.query(
      `UPDATE cluster_authorities SET state = 'fenced' WHERE cluster_id = $1`,
      [clusterId],
    );
    expect((await approve(id)).body.code).toBe('cluster_not_authoritative');
    expect((await api.post(`${path}/${id}/reject`, { reason: 'No.' })).status).toBe(200);
  });
});

describe('listing', () => {
  it('pages newest first, finds by name and fingerprint, and warns on each', async () => {
    const machine = { facts: { os: 'linux', arch: 'x64', hostname: 'h', machineId: 'the-same-machine' } };
    const first = await pending({ nodeName: 'Edge-One', ...machine });
    await approve(first.id);
    const second = await pending({ nodeName: 'edge-two', ...machine, requestedRoles: ['rdp-worker'] });
    const page = await api.get(`${path}?limit=1`);
    const rest = await api.get(`${path}?limit=1&cursor=${page.body.nextCursor}`);
    expect([page.body.items[0].id, rest.body.items[0].id]).toEqual([second.id, first.id]);
    expect(page.headers.get('link')).toContain('rel="next"');
    expect(page.body.items[0].warnings.map(({ code }: { code: string }) => code)).toEqual([
      'same_machine_id',
      'capability_missing',
    ]);
    expect(rest.body.items[0].warnings).toEqual([]);
    const ids = async (query: string) =>
      (await api.get(`${path}?${query}`)).body.items.map(({ id }: { id: string }) => id);
    expect(await ids('q=edge-t')).toEqual([second.id]);
    expect(await ids('q=EDGE')).toEqual([second.id, first.id]);
    expect(await ids(`q=${rest.body.items[0].nodeFingerprint}`)).toEqual([first.id]);
    expect(await ids('status=approved')).toEqual([first.id]);
    expect(await ids(`tokenId=${second.tokenId}`)).toEqual([second.id]);
    expect(await ids(`q=${rest.body.items[0].approvedNodeId}`)).toEqual([first.id]);
    expect(await ids('q=the-same-machine')).toEqual([second.id, first.id]);
    expect(await ids('q=the-same')).toEqual([]);
    expect((await api.get(`${path}?tokenId=x`)).status).toBe(400);
    expect((await api.get(`${path}?status=nonsense`)).status).toBe(400);
    expect((await api.get(`${path}?state=pending`)).status).toBe(400);
  });

  it('answers 304 to who has seen it', async () => {
    const { id } = await pending();
    const seen = await api.get(`${path}/${id}`);
    const again = await api.get(`${path}/${id}`, { 'if-none-match': seen.headers.get('etag') ?? '' });
    expect(again.status).toBe(304);
  });
});
