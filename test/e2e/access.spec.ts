import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ALL_PERMISSIONS } from '../../src/common/auth/permissions.js';
import { formatToken, newSecret } from '../../src/common/crypto/secrets.js';
import { newId } from '../../src/common/ids/uuid.js';
import type { Answer, Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';

interface Issued {
  id: string;
  token: string;
  name: string;
}

let controlPlane: ControlPlane;
let api: Api;
beforeAll(async () => {
  controlPlane = await startControlPlane();
  ({ api } = controlPlane);
});
afterAll(() => controlPlane?.close());

async function apiToken(input: Record<string, unknown>, maker: Api = api): Promise<Issued> {
  return created(await maker.post('/api-tokens', { name: unique('token'), ...input })) as Issued;
}

/** A client that holds a new token. */
async function holderOf(input: Record<string, unknown>): Promise<Api> {
  return api.as((await apiToken(input)).token);
}

const highRisk = { highRisk: true, expiresInSeconds: 600 };
const cluster = () => given(controlPlane).cluster();

/** Events of an action that one actor caused, oldest first. */
function events(action: string, actorId?: string) {
  return controlPlane.database.query<Record<string, unknown>>(
    `SELECT * FROM audit_events WHERE action = $1 AND ($2::text IS NULL OR actor_id = $2) ORDER BY id`,
    [action, actorId ?? null],
  );
}

const pointersOf = ({ body }: Answer): string[] =>
  body.errors.map((error: { pointer: string }) => error.pointer);

describe('API tokens', () => {
  it('shows a new token once and keeps a keyed hash of it', async () => {
    const answer = await api.post('/api-tokens', {
      name: 'deploy',
      role: 'auditor',
      permissions: ['nodes.update'],
    });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('location')).toBe(`/api/v1/api-tokens/${answer.body.id}`);
    expect(answer.body).toMatchObject({
      name: 'deploy',
      status: 'active',
      role: 'auditor',
      permissions: ['nodes.update'],
      clusterId: null,
      organizationId: null,
      highRisk: false,
      allowedAddresses: [],
      createdBy: { type: 'bootstrap', id: 'bootstrap' },
      expiresAt: null,
      lastUsedAt: null,
      revokedAt: null,
    });
    const { token, ...view } = answer.body;
    expect(token).toMatch(/^fab_[0-9A-Za-z]{22}_[0-9A-Za-z]{49}$/);
    const read = await api.get(`/api-tokens/${answer.body.id}`);
    expect(read.body).toEqual(view);
    expect(read.headers.get('etag')).toBe(answer.headers.get('etag'));
    const [row] = await controlPlane.database.query('SELECT * FROM api_tokens WHERE id = $1', [
      answer.body.id,
    ]);
    expect(row?.token_hash).toHaveLength(32);
    expect(JSON.stringify(row)).not.toContain(token);
    const [event] = (await events('api_token.created')).filter(
      ({ resource_id }) => resource_id === answer.body.id,
    );
    expect(event).toMatchObject({
      actor_type: 'bootstrap',
      outcome: 'success',
      resource_name: 'deploy',
      high_risk: false,
    });
    expect(JSON.stringify(event)).not.toContain(token);
  });

  it('counts its lifetime by the clock of the database and dies at that instant', async () => {
    const answer = await api.post('/api-tokens', { name: 'short', role: 'auditor', expiresInSeconds: 60 });
    const { id, token, createdAt, expiresAt } = answer.body;
    expect(Date.parse(expiresAt) - Date.parse(createdAt)).toBe(60_000);
    expect((await api.as(token).get('/me')).status).toBe(200);
    await controlPlane.database.query(
      'UPDATE api_tokens SET expires_at = now() - make_interval(secs => 0.001) WHERE id = $1',
      [id],
    );
    const refused = await api.as(token).get('/me');
    expect([refused.status, refused.body.code]).toEqual([401, 'unauthenticated']);
    expect(refused.headers.get('www-authenticate')).toMatch(/^Bearer/);
    expect((await api.get(`/api-tokens/${id}`)).body.status).toBe('expired');
  });

  it('is revoked for ever, once, and stays to be read', async () => {
    const { id, token } = await apiToken({ role: 'auditor' });
    const answers = await Promise.all([1, 2, 3, 4].map(() => api.delete(`/api-tokens/${id}`)));
    expect(answers.map(({ status }) => status)).toEqual([204, 204, 204, 204]);
    expect((await api.delete(`/api-tokens/${id}`)).status).toBe(204);
    expect((await events('api_token.revoked')).filter(({ resource_id }) => resource_id === id)).toHaveLength(
      1,
    );
    expect((await api.as(token).get('/me')).status).toBe(401);
    const { body } = await api.get(`/api-tokens/${id}`);
    expect(body).toMatchObject({ status: 'revoked', revokedAt: expect.any(String) });
  });

  it('compares If-Match with what was decided, not with when it was used', async () => {
    const { id, token } = await apiToken({ role: 'auditor' });
    const etag = (await api.get(`/api-tokens/${id}`)).headers.get('etag') ?? '';
    await api.as(token).get('/me');
    await controlPlane.database.query('UPDATE api_tokens SET last_used_at = now() WHERE id = $1', [id]);
    expect((await api.get(`/api-tokens/${id}`)).headers.get('etag')).not.toBe(etag);
    expect((await api.delete(`/api-tokens/${id}`, undefined, { 'if-match': '"another"' })).status).toBe(412);
    expect((await api.delete(`/api-tokens/${id}`, undefined, { 'if-match': etag })).status).toBe(204);
    expect((await api.delete(`/api-tokens/${id}`, undefined, { 'if-match': etag })).status).toBe(412);
  });

  it.each(['019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21', 'nonsense'])(
    'answers 404 for the token %s',
    async (id) => {
      expect((await api.get(`/api-tokens/${id}`)).status).toBe(404);
      expect((await api.delete(`/api-tokens/${id}`)).status).toBe(404);
    },
  );

  it('lists tokens page by page, newest first, by status, cluster and maker', async () => {
    const { id: clusterId } = await cluster();
    const made: string[] = [];
    for (let n = 0; n < 5; n += 1) made.unshift((await apiToken({ role: 'auditor', clusterId })).id);
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page: Answer = await api.get(
        `/api-tokens?clusterId=${clusterId}&limit=2${cursor && `&cursor=${cursor}`}`,
      );
      seen.push(...page.body.items.map(({ id }: Issued) => id));
      expect(JSON.stringify(page.body.items)).not.toMatch(/fab_|hash/i);
      cursor = page.body.nextCursor;
    }
    expect(seen).toEqual(made);
    await api.delete(`/api-tokens/${made[0]}`);
    await controlPlane.database.query(
      'UPDATE api_tokens SET expires_at = now() - make_interval(secs => 0.001) WHERE id = $1',
      [made[1]],
    );
    const idsOf = async (query: string) =>
      (await api.get(`/api-tokens?clusterId=${clusterId}&${query}`)).body.items.map(({ id }: Issued) => id);
    expect(await idsOf('status=revoked')).toEqual([made[0]]);
    expect(await idsOf('status=expired')).toEqual([made[1]]);
    expect(await idsOf('status=active')).toEqual(made.slice(2));
    expect(await idsOf('createdById=nobody')).toEqual([]);
    expect((await api.get('/api-tokens?colour=red')).body.errors).toEqual([
      { parameter: 'colour', message: expect.any(String) },
    ]);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['no name', { role: 'auditor' }, '#/name'],
    ['neither role nor permissions', { name: 'x' }, '#/role'],
    ['no permission at all', { name: 'x', permissions: [] }, '#/role'],
    ['an unknown role', { name: 'x', role: 'king' }, '#/role'],
    ['a role of organizations', { name: 'x', role: 'organization-admin' }, '#/role'],
    [
      'an organization',
      { name: 'x', role: 'organization-admin', organizationId: newId() },
      '#/organizationId',
    ],
    [
      'an unknown permission',
      { name: 'x', permissions: ['clusters.read', 'clusters.eat'] },
      '#/permissions/1',
    ],
    ['a cluster that is not there', { name: 'x', role: 'auditor', clusterId: newId() }, '#/clusterId'],
    ['high risk without an end', { name: 'x', role: 'auditor', highRisk: true }, '#/expiresInSeconds'],
    ['no lifetime', { name: 'x', role: 'auditor', expiresInSeconds: 0 }, '#/expiresInSeconds'],
    ['half a second', { name: 'x', role: 'auditor', expiresInSeconds: 1.5 }, '#/expiresInSeconds'],
    [
      'no range',
      { name: 'x', role: 'auditor', allowedAddresses: ['10.0.0.0/8', '10.0.0.1'] },
      '#/allowedAddresses/1',
    ],
    ['host bits', { name: 'x', role: 'auditor', allowedAddresses: ['10.0.0.1/8'] }, '#/allowedAddresses/0'],
    ['an unknown member', { name: 'x', role: 'auditor', admin: true }, '#/admin'],
  ])('refuses %s with a pointer to it', async (_, body, pointer) => {
    const answer = await api.post('/api-tokens', body);
    expect([answer.status, answer.body.code, pointersOf(answer)]).toEqual([
      422,
      'invalid_request',
      [pointer],
    ]);
  });

  it('refuses a platform permission over one cluster', async () => {
    const { id: clusterId } = await cluster();
    const answer = await api.post('/api-tokens', { name: 'x', permissions: ['clusters.create'], clusterId });
    expect([answer.status, pointersOf(answer)]).toEqual([422, ['#/permissions/0']]);
  });

  it('gives the same token again for the same Idempotency-Key', async () => {
    const send = () =>
      api.post('/api-tokens', { name: 'again', role: 'auditor' }, { 'idempotency-key': 'token-1' });
    const [first, second] = [await send(), await send()];
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expect(second.body).toEqual(first.body);
  });

  it('makes none in a dry run, and shows no secret', async () => {
    const ids = () => controlPlane.database.query('SELECT id FROM api_tokens ORDER BY id');
    const before = await ids();
    const answer = await api.post('/api-tokens?dryRun=true', {
      name: 'planned',
      role: 'auditor',
      ...highRisk,
    });
    expect([answer.status, answer.body.dryRun, answer.body.result.name]).toEqual([200, true, 'planned']);
    expect(answer.body.result).not.toHaveProperty('token');
    expect(await ids()).toEqual(before);
  });
});

describe('what may be granted', () => {
  it('is at most what the maker holds', async () => {
    const admin = await holderOf({ role: 'platform-admin' });
    expect((await admin.post('/api-tokens', { name: 'x', role: 'platform-operator' })).status).toBe(201);
    const refused = await admin.post('/api-tokens', { name: 'x', role: 'platform-owner' });
    expect([refused.status, refused.body.code, pointersOf(refused)]).toEqual([
      422,
      'permission_not_held',
      ['#/role'],
    ]);
    const maker = await holderOf({ permissions: ['api_tokens.create', 'nodes.read'] });
    const wider = await maker.post('/api-tokens', { name: 'x', permissions: ['nodes.read', 'nodes.revoke'] });
    expect(wider.body).toMatchObject({ code: 'permission_not_held', missing: ['nodes.revoke'] });
    expect(pointersOf(wider)).toEqual(['#/permissions/1']);
    expect((await maker.post('/api-tokens', { name: 'x', permissions: ['nodes.read'] })).status).toBe(201);
  });

  it('is high-risk only by who was made for it', async () => {
    const ordinary = await apiToken({ role: 'platform-admin' });
    const refused = await api
      .as(ordinary.token)
      .post('/api-tokens', { name: 'x', role: 'auditor', ...highRisk });
    expect([refused.status, refused.body.code]).toEqual([403, 'high_risk_credential_required']);
    expect(await events('operation.denied', ordinary.id)).toMatchObject([
      { resource_id: 'createApiToken', high_risk: true },
    ]);
    const made = await apiToken({ role: 'platform-admin', ...highRisk });
    const child = await apiToken({ role: 'auditor', ...highRisk }, api.as(made.token));
    expect(await events('api_token.created', made.id)).toMatchObject([
      { resource_id: child.id, high_risk: true },
    ]);
  });

  it('is not decided by who holds one cluster', async () => {
    const { id: clusterId } = await cluster();
    const scoped = await holderOf({ role: 'platform-owner', clusterId });
    expect((await scoped.post('/api-tokens', { name: 'x', role: 'auditor', clusterId })).status).toBe(403);
    expect((await scoped.get('/api-tokens')).status).toBe(403);
    expect((await scoped.delete(`/api-tokens/${newId()}`)).status).toBe(403);
  });
});

describe('a token over one cluster', () => {
  it('sees that cluster and knows of no other', async () => {
    const [own, foreign] = [await cluster(), await cluster()];
    const scoped = await holderOf({ role: 'platform-admin', clusterId: own.id });
    expect((await scoped.get('/clusters')).body.items.map(({ id }: Issued) => id)).toEqual([own.id]);
    expect((await scoped.patch(`/clusters/${own.slug}`, { region: 'north' })).status).toBe(200);
    const there = await scoped.get(`/clusters/${foreign.id}`);
    const nowhere = await scoped.get(`/clusters/${newId()}`);
    expect([there.status, there.body.code, there.body.detail]).toEqual([
      404,
      nowhere.body.code,
      nowhere.body.detail,
    ]);
    expect((await scoped.post('/clusters', { name: 'mine' })).status).toBe(403);
    expect((await scoped.delete(`/clusters/${own.id}`)).status).toBe(403);
  });
});

describe('the use of a token', () => {
  it('is noted at most once a minute', async () => {
    const { id, token } = await apiToken({ role: 'auditor' });
    const lastUse = async () => (await api.get(`/api-tokens/${id}`)).body.lastUsedAt as string | null;
    const use = () => api.as(token).get('/me');
    const ago = (seconds: number) =>
      controlPlane.database.query(
        `UPDATE api_tokens SET last_used_at = now() - make_interval(secs => $2) WHERE id = $1`,
        [id, seconds],
      );
    await use();
    let noted = await lastUse();
    for (; noted === null; noted = await lastUse());
    await ago(30);
    const recent = await lastUse();
    await use();
    expect(await lastUse()).toBe(recent);
    await ago(61);
    const old = await lastUse();
    await use();
    noted = await lastUse();
    for (; noted === old; noted = await lastUse());
    expect(Date.parse(noted ?? '')).toBeGreaterThan(Date.parse(old ?? ''));
  });

  it.each([
    ['127.0.0.0/8', 200],
    ['127.0.0.1/32', 200],
    ['192.0.2.0/24', 401],
    ['::/0', 401],
  ])('from 127.0.0.1 with %s allowed is %i', async (range, status) => {
    const { token } = await apiToken({ role: 'auditor', allowedAddresses: [range] });
    expect((await api.as(token).get('/me')).status).toBe(status);
  });

  it('needs the whole token, exactly', async () => {
    const { id, token } = await apiToken({ role: 'auditor' });
    const forged = formatToken('fab', id, newSecret());
    const unknown = formatToken('fab', newId(), newSecret());
    for (const credential of [
      forged,
      unknown,
      `${token}x`,
      token.slice(0, -1),
      `${token} `.repeat(2).trim(),
    ]) {
      expect((await api.as(credential).get('/me')).status).toBe(401);
    }
    expect((await api.as(null).get('/me')).status).toBe(401);
  });
});

describe('a token after a change of the master key', () => {
  it.each([
    ['lives on while the key before is configured', true, 200],
    ['is unknown without it', false, 401],
  ])('%s', async (_, keepsPrevious, status) => {
    const { token } = await apiToken({ role: 'auditor' });
    const { runtime } = controlPlane;
    const rotated = { ...runtime, masterKey: randomBytes(32).toString('base64url') };
    const config = { masterKeyPrevious: keepsPrevious ? [runtime.masterKey] : [] };
    const beside = await startControlPlane({ beside: { ...controlPlane, runtime: rotated }, config });
    try {
      expect((await beside.api.as(token).get('/me')).status).toBe(status);
    } finally {
      await beside.close();
    }
  });
});

describe('HEAD', () => {
  it('is answered as GET without the body', async () => {
    const { id, token } = await apiToken({ role: 'auditor' });
    const url = `${controlPlane.url}/api/v1/api-tokens/${id}`;
    const headers = { authorization: `Bearer ${token}` };
    await fetch(url, { headers });
    for (let noted = false; !noted; ) noted = (await api.get(`/api-tokens/${id}`)).body.lastUsedAt !== null;
    const read = await fetch(url, { headers });
    const head = await fetch(url, { headers, method: 'HEAD' });
    expect([head.status, await head.text(), head.headers.get('etag')]).toEqual([
      200,
      '',
      read.headers.get('etag'),
    ]);
  });
});

describe('GET /me', () => {
  it('tells the owner who they are', async () => {
    const { body } = await api.get('/me');
    expect(body).toMatchObject({
      principal: { type: 'bootstrap', id: 'bootstrap', displayName: 'Bootstrap token' },
      bootstrap: true,
      highRisk: true,
      roles: ['platform-owner'],
    });
    expect(body.permissions).toEqual([...ALL_PERMISSIONS].sort());
  });

  it('tells a script what it holds and over what', async () => {
    const { id: clusterId } = await cluster();
    const { id, token, name } = await apiToken({ permissions: ['nodes.read', 'clusters.read'], clusterId });
    const permissions = ['clusters.read', 'nodes.read'];
    const script = api.as(token);
    expect((await script.get('/me')).body).toEqual({
      principal: { type: 'api_token', id, displayName: name },
      bootstrap: false,
      highRisk: false,
      roles: [],
      permissions,
      grants: [{ role: null, clusterId, permissions }],
    });
    expect((await script.get('/me/permissions')).body).toEqual({ clusterId: null, permissions: [] });
    expect((await script.get(`/me/permissions?clusterId=${clusterId}`)).body).toEqual({
      clusterId,
      permissions,
    });
    expect((await script.get(`/me/permissions?clusterId=${(await cluster()).id}`)).status).toBe(404);
    expect((await script.get('/me/permissions?clusterId=x')).status).toBe(400);
  });

  it('lists the catalogue with who holds what', async () => {
    const { body } = await (await holderOf({ permissions: ['nodes.read'] })).get('/permissions');
    expect(body.nextCursor).toBeNull();
    expect(body.items.map(({ name }: { name: string }) => name)).toEqual([...ALL_PERMISSIONS].sort());
    expect(body.items).toContainEqual({
      name: 'api_tokens.create',
      description: expect.any(String),
      scope: 'platform',
      roles: ['platform-owner', 'platform-admin'],
    });
  });
});
