import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Jobs } from '../../src/common/jobs/jobs.js';
import type { Api } from '../support/api.js';
import { Applicant, countByStatus } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given } from '../support/given.js';
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
  path = `/clusters/${clusterId}/join-tokens`;
});

/** Actions of the cluster's audit events with how often each stands there. */
async function auditCounts(): Promise<Record<string, number>> {
  const rows = await controlPlane.database.query<{ action: string; count: number }>(
    `SELECT action, count(*)::int AS count FROM audit_events
      WHERE cluster_id = $1 AND action NOT LIKE 'cluster.%' GROUP BY action`,
    [clusterId],
  );
  return Object.fromEntries(rows.map(({ action, count }) => [action, count]));
}

const expire = (tokenId: string) =>
  controlPlane.database.query(
    `UPDATE node_join_tokens SET created_at = now() - interval '2 hours', expires_at = now() - make_interval(secs => 0.001) WHERE id = $1`,
    [tokenId],
  );

async function tokenWith(permissions: string[], more: Record<string, unknown> = {}): Promise<Api> {
  const { token } = created(
    await api.post('/api-tokens', { name: 'script', permissions, expiresInSeconds: 3600, ...more }),
  ) as { token: string };
  return api.as(token);
}

describe('creating a join token', () => {
  it('shows the token once and keeps only its hash', async () => {
    const answer = await api.post(path, {
      description: 'Rack 7',
      maxUses: 3,
      scope: { roles: ['vpn-exit'] },
    });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('location')).toBe(`/api/v1${path}/${answer.body.id}`);
    expect(answer.body).toMatchObject({
      clusterId,
      description: 'Rack 7',
      status: 'active',
      scope: { roles: ['vpn-exit'] },
      autoApprove: false,
      maxUses: 3,
      usedCount: 0,
      createdBy: { type: 'bootstrap' },
      revokedAt: null,
      token: expect.stringMatching(/^fjt_[0-9A-Za-z]{22}_[0-9A-Za-z]{49}$/),
    });
    const shown = await api.get(`${path}/${answer.body.id}`);
    const { token, ...rest } = answer.body;
    expect(shown.body).toEqual(rest);
    expect(shown.headers.get('etag')).toBe(answer.headers.get('etag'));
    const rows = await controlPlane.database.query(
      'SELECT to_jsonb(t)::text AS row FROM node_join_tokens AS t WHERE id = $1',
      [answer.body.id],
    );
    expect(JSON.stringify(rows)).not.toContain(token.slice(-49));
    expect(await auditCounts()).toEqual({ 'join_token.created': 1 });
  });

  it('needs no body: one use within an hour', async () => {
    const { body, status } = await api.post(path);
    expect(status).toBe(201);
    expect(body).toMatchObject({ maxUses: 1, scope: {}, description: null });
    expect(Date.parse(body.expiresAt) - Date.parse(body.createdAt)).toBe(3_600_000);
  });

  it('leaves nothing behind in a dry run, and shows no secret', async () => {
    const { status, body } = await api.post(`${path}?dryRun=true`, {});
    expect(status).toBe(200);
    expect(body).toMatchObject({ dryRun: true, affectedNodes: 0, result: { clusterId, status: 'active' } });
    expect(body.result).not.toHaveProperty('token');
    expect((await api.get(path)).body.items).toEqual([]);
  });

  it.each<[string, unknown, string]>([
    ['a lifetime that is too short', { expiresInSeconds: 59 }, '#/expiresInSeconds'],
    ['a lifetime that is too long', { expiresInSeconds: 604_801 }, '#/expiresInSeconds'],
    ['no use at all', { maxUses: 0 }, '#/maxUses'],
    ['too many uses', { maxUses: 10_001 }, '#/maxUses'],
    ['a role that does not exist', { scope: { roles: ['king'] } }, '#/scope/roles/0'],
    [
      'a role that does not exist, for one organization',
      { scope: { roles: ['king'], organizationId: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21' } },
      '#/scope/roles/0',
    ],
    ['a role twice', { scope: { roles: ['vpn-exit', 'vpn-exit'] } }, '#/scope/roles'],
    [
      'a pattern that is no glob over names',
      { scope: { nodeNamePattern: 'edge-[0-9]' } },
      '#/scope/nodeNamePattern',
    ],
    ['an unknown member', { uses: 3 }, '#/uses'],
    ['an unknown member of the scope', { scope: { role: 'vpn-exit' } }, '#/scope/role'],
    ['auto-approval without roles', { autoApprove: true }, '#/scope/roles'],
    [
      'auto-approval for longer than an hour',
      { autoApprove: true, expiresInSeconds: 3601, scope: { roles: ['vpn-exit'] } },
      '#/expiresInSeconds',
    ],
    [
      'a platform role for one organization',
      { scope: { roles: ['relay-node'], organizationId: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21' } },
      '#/scope/organizationId',
    ],
  ])('refuses %s', async (_, body, pointer) => {
    const answer = await api.post(path, body);
    expect(answer.status).toBe(422);
    expect(answer.body.errors).toContainEqual(expect.objectContaining({ pointer }));
  });

  it('refuses a group that the cluster does not have', async () => {
    const answer = await api.post(path, { scope: { groupId: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21' } });
    expect(answer).toMatchObject({ status: 422, body: { code: 'group_not_found' } });
  });

  it('needs the permission, and is not there for who may not know of the cluster', async () => {
    const reader = await tokenWith(['join_tokens.read'], { clusterId });
    expect((await reader.post(path, {})).status).toBe(403);
    expect((await reader.get(path)).status).toBe(200);
    const foreign = await tokenWith(['join_tokens.create'], {
      clusterId: (await given(controlPlane).cluster()).id,
    });
    expect((await foreign.post(path, {})).status).toBe(404);
  });

  it('lets auto-approval be made only with the permission and a credential made for high-risk work', async () => {
    const body = { autoApprove: true, scope: { roles: ['vpn-exit'] } };
    const maker = await tokenWith(['join_tokens.create'], { clusterId, highRisk: true });
    expect(await maker.post(path, body)).toMatchObject({
      status: 403,
      body: { permission: 'join_tokens.auto_approve' },
    });
    const careless = await tokenWith(['join_tokens.create', 'join_tokens.auto_approve'], { clusterId });
    expect(await careless.post(path, body)).toMatchObject({
      status: 403,
      body: { code: 'high_risk_credential_required' },
    });
    expect((await careless.post(path, { ...body, autoApprove: false })).status).toBe(201);
    expect((await api.post(path, body)).status).toBe(201);
    const rows = await controlPlane.database.query<{ action: string; high_risk: boolean }>(
      `SELECT action, high_risk FROM audit_events WHERE cluster_id = $1 AND action ~ '^(operation|join_token)' ORDER BY id`,
      [clusterId],
    );
    expect(rows).toEqual([
      { action: 'operation.denied', high_risk: true },
      { action: 'operation.denied', high_risk: true },
      { action: 'join_token.created', high_risk: false },
      { action: 'join_token.created', high_risk: true },
    ]);
  });

  it('is refused in an archived cluster', async () => {
    await api.delete(`/clusters/${clusterId}`);
    expect(await api.post(path, {})).toMatchObject({ status: 409, body: { code: 'cluster_archived' } });
  });
});

describe('the status of a join token', () => {
  it('follows from its uses, its expiry and its revocation, in lists and alone', async () => {
    const make = given(controlPlane);
    const [active, spent, expired, revoked] = [
      await make.joinToken(clusterId),
      await make.joinToken(clusterId),
      await make.joinToken(clusterId),
      await make.joinToken(clusterId),
    ];
    expect((await new Applicant(controlPlane.url).enroll(spent.token)).status).toBe(202);
    await expire(expired.id);
    await api.post(`${path}/${revoked.id}/revoke`);
    const expected = { active: active.id, exhausted: spent.id, expired: expired.id, revoked: revoked.id };
    for (const [status, id] of Object.entries(expected)) {
      expect((await api.get(`${path}/${id}`)).body.status).toBe(status);
      const { body } = await api.get(`${path}?status=${status}`);
      expect(body.items.map((item: { id: string }) => item.id)).toEqual([id]);
    }
    expect((await api.get(`${path}/${spent.id}`)).body.usedCount).toBe(1);
  });

  it('is paged newest first', async () => {
    const ids: string[] = [];
    for (let count = 0; count < 3; count += 1)
      ids.unshift((await given(controlPlane).joinToken(clusterId)).id);
    const first = await api.get(`${path}?limit=2`);
    const second = await api.get(`${path}?limit=2&cursor=${first.body.nextCursor}`);
    expect([...first.body.items, ...second.body.items].map((item: { id: string }) => item.id)).toEqual(ids);
    expect(second.body.nextCursor).toBeNull();
  });

  it('is unknown in another cluster', async () => {
    const { id } = await given(controlPlane).joinToken(clusterId);
    const other = (await given(controlPlane).cluster()).id;
    expect((await api.get(`/clusters/${other}/join-tokens/${id}`)).status).toBe(404);
    expect((await api.post(`/clusters/${other}/join-tokens/${id}/revoke`)).status).toBe(404);
    expect((await api.get(`${path}/nonsense`)).status).toBe(404);
  });
});

describe('revoking a join token', () => {
  it('ends it, and again changes nothing', async () => {
    const { id, token } = await given(controlPlane).joinToken(clusterId);
    expect(await api.post(`${path}/${id}/revoke`)).toMatchObject({
      status: 200,
      body: { status: 'revoked' },
    });
    expect(await api.post(`${path}/${id}/revoke`)).toMatchObject({
      status: 200,
      body: { status: 'revoked' },
    });
    const answer = await new Applicant(controlPlane.url).enroll(token);
    expect(answer).toMatchObject({ status: 401, body: { code: 'join_token_invalid' } });
    expect(await auditCounts()).toEqual({
      'join_token.created': 1,
      'join_token.revoked': 1,
      'join_token.refused': 1,
    });
  });

  it('leaves one event, however many do it at once', async () => {
    const { id } = await given(controlPlane).joinToken(clusterId);
    const answers = await Promise.all(Array.from({ length: 8 }, () => api.post(`${path}/${id}/revoke`)));
    expect(countByStatus(answers)).toEqual({ 200: 8 });
    expect(await auditCounts()).toMatchObject({ 'join_token.revoked': 1 });
  });

  it('needs the permission', async () => {
    const { id } = await given(controlPlane).joinToken(clusterId);
    const reader = await tokenWith(['join_tokens.read'], { clusterId });
    expect((await reader.post(`${path}/${id}/revoke`)).status).toBe(403);
  });
});

describe('the worker', () => {
  it('writes the expiry of a token into the audit log, once', async () => {
    const { id } = await given(controlPlane).joinToken(clusterId);
    await expire(id);
    const jobs = controlPlane.app.get(Jobs);
    await Promise.all([jobs.runNow('enrollment', 'expiry'), jobs.runNow('enrollment', 'expiry')]);
    await jobs.runNow('enrollment', 'expiry');
    // The service's own sweep may have taken it first, and be at it.
    await until(auditCounts, (counts) => 'join_token.expired' in counts);
    expect(await auditCounts()).toEqual({ 'join_token.created': 1, 'join_token.expired': 1 });
  });
});
