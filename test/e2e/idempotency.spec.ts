import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Answer, Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import { freshKey, rotationBody } from '../support/rotation.js';
import { openSecondSession } from '../support/second-session.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

const limits = { unknownCredentialsPerMinute: 10_000, principalPerMinute: 100_000, nodePerMinute: 100_000 };

let controlPlane: ControlPlane;
let beside: ControlPlane;
let api: Api;
beforeAll(async () => {
  controlPlane = await startControlPlane({ config: { role: 'api', limits } });
  const publicUrlAliases = [controlPlane.url];
  beside = await startControlPlane({
    beside: controlPlane,
    config: { role: 'api', limits, publicUrlAliases },
  });
  ({ api } = controlPlane);
});
afterAll(async () => {
  await beside?.close();
  await controlPlane?.close();
});

const keyed = (key: string) => ({ 'idempotency-key': key });
const clusterBody = () => ({ name: 'Once', slug: unique('once') });
const clustersNamed = (slug: string) =>
  controlPlane.database.query('SELECT 1 FROM clusters WHERE slug = $1', [slug]);
const keysStored = async (): Promise<number> =>
  (
    await controlPlane.database.query<{ count: number }>(
      'SELECT count(*)::int AS count FROM idempotency_keys',
    )
  )[0]?.count ?? 0;

/** What must be the same in both answers. */
function parts({ status, body, headers }: Answer) {
  return { status, body, location: headers.get('location'), etag: headers.get('etag') };
}

async function holderOf(role: string): Promise<Api> {
  const made = created(await api.post('/api-tokens', { name: unique('holder'), role })) as { token: string };
  return api.as(made.token);
}

describe('the same request with the same key', () => {
  it('is answered as it was, and done once', async () => {
    const [key, body] = [unique('key'), clusterBody()];
    const first = await api.post('/clusters', body, keyed(key));
    expect(first.status).toBe(201);
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    const again = await api.post('/clusters', body, keyed(key));
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(parts(again)).toEqual(parts(first));
    expect(parts(again).location).toBe(`/api/v1/clusters/${first.body.id}`);
    expect(await clustersNamed(body.slug)).toHaveLength(1);
    const events = await controlPlane.database.query('SELECT 1 FROM audit_events WHERE cluster_id = $1', [
      first.body.id,
    ]);
    expect(events).toHaveLength(1);
  });

  it('is the same whatever the order of its members', async () => {
    const [key, body] = [unique('key'), clusterBody()];
    const first = await api.post('/clusters', body, keyed(key));
    const again = await api.post('/clusters', `{ "slug": "${body.slug}",\n "name": "Once" }`, {
      ...keyed(key),
      'content-type': 'application/json',
    });
    expect(parts(again)).toEqual(parts(first));
  });

  it('is answered so on another instance and after a restart', async () => {
    const [key, body] = [unique('key'), clusterBody()];
    const first = await api.post('/clusters', body, keyed(key));
    expect(parts(await beside.api.post('/clusters', body, keyed(key)))).toEqual(parts(first));
    const restarted = await startControlPlane({ beside: controlPlane });
    try {
      const again = await restarted.api.post('/clusters', body, keyed(key));
      expect(again.headers.get('idempotency-replayed')).toBe('true');
      expect(parts(again)).toEqual(parts(first));
    } finally {
      await restarted.close();
    }
  });

  it('shows a once-only secret again', async () => {
    const [key, body] = [unique('key'), { name: unique('token'), role: 'auditor' }];
    const first = await api.post('/api-tokens', body, keyed(key));
    const again = await api.post('/api-tokens', body, keyed(key));
    expect(again.body.token).toBe(first.body.token);
    expect((await api.as(again.body.token).get('/clusters')).status).toBe(200);
  });

  it('is answered as it was although the world has moved on', async () => {
    const { id } = await given(controlPlane).cluster();
    const key = unique('key');
    const first = await api.post(`/clusters/${id}/join-tokens`, {}, keyed(key));
    expect(first.status).toBe(201);
    await api.delete(`/clusters/${id}`);
    const again = await api.post(`/clusters/${id}/join-tokens`, {}, keyed(key));
    expect(parts(again)).toEqual(parts(first));
    expect((await api.post(`/clusters/${id}/join-tokens`, {}, keyed(unique('key')))).body.code).toBe(
      'cluster_archived',
    );
  });

  it('is done once by twenty at once', async () => {
    const [key, body] = [unique('key'), clusterBody()];
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        (index % 2 === 0 ? api : beside.api).post('/clusters', body, keyed(key)),
      ),
    );
    const done = answers.filter(({ status }) => status === 201);
    expect(done.filter(({ headers }) => headers.get('idempotency-replayed') === null)).toHaveLength(1);
    expect(new Set(done.map(({ body: { id } }) => id)).size).toBe(1);
    for (const { status, body: problem } of answers) {
      if (status !== 201)
        expect({ status, code: problem.code }).toEqual({ status: 409, code: 'idempotency_in_progress' });
    }
    expect(await clustersNamed(body.slug)).toHaveLength(1);
  });

  it('is done anew after a day', async () => {
    const key = unique('key');
    const first = await api.post('/clusters', clusterBody(), keyed(key));
    const [row] = await controlPlane.database.query<{ hours: number }>(
      `SELECT extract(epoch FROM max(expires_at) - now()) / 3600 AS hours FROM idempotency_keys`,
    );
    expect(Math.round(Number(row?.hours))).toBe(24);
    await controlPlane.database.query(
      `UPDATE idempotency_keys SET expires_at = now() - make_interval(secs => 0.001)`,
    );
    const later = await api.post('/clusters', clusterBody(), keyed(key));
    expect(later.status).toBe(201);
    expect(later.body.id).not.toBe(first.body.id);
  });
});

describe('another request with the same key', () => {
  it('is refused and changes nothing', async () => {
    const [key, body] = [unique('key'), clusterBody()];
    const { id } = await given(controlPlane).cluster();
    await api.post('/clusters', body, keyed(key));
    for (const answer of [
      await api.post('/clusters', { ...body, name: 'Twice' }, keyed(key)),
      await api.post('/clusters', clusterBody(), keyed(key)),
      await beside.api.post('/clusters', clusterBody(), keyed(key)),
      await api.post(`/clusters/${id}/join-tokens`, {}, keyed(key)),
    ]) {
      expect({ status: answer.status, code: answer.body.code }).toEqual({
        status: 422,
        code: 'idempotency_key_reused',
      });
    }
    expect(await clustersNamed(body.slug)).toHaveLength(1);
  });

  it('is fine for another principal, who learns nothing of the first', async () => {
    const key = unique('key');
    const [mine, theirs] = [clusterBody(), clusterBody()];
    const other = await holderOf('platform-admin');
    const first = await api.post('/clusters', mine, keyed(key));
    const second = await other.post('/clusters', theirs, keyed(key));
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(second.headers.get('idempotency-replayed')).toBeNull();
    expect(second.body.id).not.toBe(first.body.id);
    const stranger = await holderOf('auditor');
    expect((await stranger.post('/clusters', mine, keyed(key))).status).toBe(403);
  });
});

describe('while the first request runs', () => {
  it('the second is refused, and replays once the first is done', async () => {
    const [key, body] = [unique('key'), clusterBody()];
    const session = await openSecondSession(controlPlane);
    try {
      await session.query('BEGIN');
      await session.query('LOCK TABLE cluster_policies IN ACCESS EXCLUSIVE MODE');
      const first = api.post('/clusters', body, keyed(key));
      await session.untilWaiting();
      for (const client of [api, beside.api]) {
        const second = await client.post('/clusters', body, keyed(key));
        expect({ status: second.status, code: second.body.code }).toEqual({
          status: 409,
          code: 'idempotency_in_progress',
        });
        expect(Number(second.headers.get('retry-after'))).toBeGreaterThan(0);
      }
      await session.query('ROLLBACK');
      const done = await first;
      expect(done.status).toBe(201);
      expect(parts(await beside.api.post('/clusters', body, keyed(key)))).toEqual(parts(done));
    } finally {
      await session.end();
    }
  });
});

describe('of a node', () => {
  const beat = (more: Record<string, unknown> = {}) => ({ agentVersion: '0.1.0', sequence: 1, ...more });
  const PATH = '/node-agents/me/heartbeat';
  const lastSeen = async ({ nodeId }: TestNode) =>
    (
      await controlPlane.database.query('SELECT last_seen_at AS at FROM node_liveness WHERE node_id = $1', [
        nodeId,
      ])
    )[0]?.at;

  it('a heartbeat with a key is taken once and answered as it was, on another instance too', async () => {
    const node = await admittedNode(controlPlane);
    const token = (await node.requestToken()).body.access_token as string;
    const [here, there] = [api.as(token), beside.api.as(token)];
    const key = unique('beat');
    const first = await here.post(PATH, beat(), keyed(key));
    expect(first.status).toBe(200);
    const seen = await lastSeen(node);
    await here.post(PATH, beat({ sequence: 2 }));
    const later = await lastSeen(node);
    for (const client of [here, there]) {
      const again = await client.post(PATH, beat(), keyed(key));
      expect(again.headers.get('idempotency-replayed')).toBe('true');
      expect(parts(again)).toEqual(parts(first));
    }
    expect(await lastSeen(node)).toEqual(later);
    expect(later).not.toEqual(seen);
    const other = await there.post(PATH, beat({ sequence: 3 }), keyed(key));
    expect([other.status, other.body.code]).toEqual([422, 'idempotency_key_reused']);
  });

  it('costs nothing and keeps nothing without one, and keeps no refusal', async () => {
    const node = await (await admittedNode(controlPlane)).api();
    const before = await keysStored();
    expect((await node.post(PATH, beat())).status).toBe(200);
    const key = unique('beat');
    expect((await node.post(PATH, beat({ sequence: -1 }), keyed(key))).status).toBe(422);
    expect(await keysStored()).toBe(before);
    expect((await node.post(PATH, beat(), keyed(key))).status).toBe(200);
    expect(await keysStored()).toBe(before + 1);
  });

  it('a heartbeat that still runs keeps its key', async () => {
    const node = await admittedNode(controlPlane);
    const token = (await node.requestToken()).body.access_token as string;
    const key = unique('beat');
    const session = await openSecondSession(controlPlane);
    try {
      await session.query('BEGIN');
      await session.query('LOCK TABLE node_liveness IN EXCLUSIVE MODE');
      const first = api.as(token).post(PATH, beat(), keyed(key));
      await session.untilWaiting();
      const second = await beside.api.as(token).post(PATH, beat(), keyed(key));
      expect([second.status, second.body.code]).toEqual([409, 'idempotency_in_progress']);
      await session.query('ROLLBACK');
      expect((await first).status).toBe(200);
    } finally {
      await session.end();
    }
  });

  it('many heartbeats with keys at once all get through', async () => {
    const node = await (await admittedNode(controlPlane)).api();
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, sequence) => node.post(PATH, beat({ sequence }), keyed(unique('beat')))),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  });

  it('a change of its key is replayed to the byte', async () => {
    const node = await admittedNode(controlPlane);
    const client = await node.api();
    const [key, body] = [unique('rotation'), await rotationBody(node, await freshKey())];
    const first = await client.post('/node-agents/me/identity/rotate', body, keyed(key));
    const again = await client.post('/node-agents/me/identity/rotate', body, keyed(key));
    expect([first.status, again.headers.get('idempotency-replayed')]).toEqual([200, 'true']);
    expect(parts(again)).toEqual(parts(first));
  });
});

describe('a key', () => {
  it('keeps no refusal: the request may be mended and sent again', async () => {
    const [key, body] = [unique('key'), clusterBody()];
    await given(controlPlane).cluster({ slug: body.slug });
    const before = await keysStored();
    expect((await api.post('/clusters', { slug: body.slug }, keyed(key))).status).toBe(422);
    expect((await api.post('/clusters', body, keyed(key))).body.code).toBe('slug_taken');
    expect(await keysStored()).toBe(before);
    expect((await api.post('/clusters', clusterBody(), keyed(key))).status).toBe(201);
  });

  it('is ignored in a dry run', async () => {
    const [key, body] = [unique('key'), clusterBody()];
    const before = await keysStored();
    expect((await api.post('/clusters?dryRun=true', body, keyed(key))).status).toBe(200);
    expect(await keysStored()).toBe(before);
    expect((await api.post('/clusters', body, keyed(key))).status).toBe(201);
    const planned = await api.post('/clusters?dryRun=true', clusterBody(), keyed(key));
    expect({ status: planned.status, dryRun: planned.body.dryRun }).toEqual({ status: 200, dryRun: true });
  });

  it.each([
    ['empty', ''],
    ['longer than 255 characters', 'k'.repeat(256)],
    ['one with a space', 'a b'],
    ['one with characters beyond ASCII', 'cl\u00e9'],
  ])('that is %s is refused', async (_, key) => {
    const answer = await api.post('/clusters', clusterBody(), keyed(key));
    expect({ status: answer.status, code: answer.body.code }).toEqual({
      status: 400,
      code: 'invalid_header',
    });
  });
});

describe('at rest', () => {
  it('the answer is sealed, and its key is not kept', async () => {
    const key = unique('secret-key');
    const body = { name: 'Visible name', slug: unique('visible') };
    await api.post('/clusters', body, keyed(key));
    const rows = await controlPlane.database.query<{ row: string; answer: Buffer }>(
      'SELECT k::text AS row, k.answer FROM idempotency_keys AS k',
    );
    for (const { row, answer } of rows) {
      expect(row).not.toContain(key);
      expect(row).not.toContain(Buffer.from(key).toString('hex'));
      expect(answer.toString('latin1')).not.toContain('Visible');
    }
  });

  it('no table holds a once-only secret, whether or not it was made with a key', async () => {
    const { id } = await given(controlPlane).cluster();
    const made: Answer[] = [];
    for (const headers of [() => ({}), () => keyed(unique('canary'))]) {
      made.push(await api.post('/api-tokens', { name: unique('canary'), role: 'platform-admin' }, headers()));
      made.push(
        await api.post(`/clusters/${id}/join-tokens`, { description: 'canary', maxUses: 3 }, headers()),
      );
    }
    const secrets = made.map((answer) => (created(answer) as { token: string }).token);
    expect(secrets).toHaveLength(4);
    // Used, shown in lists and refused, they must not stay anywhere either.
    for (const token of secrets) {
      await api.as(token).get('/me');
      await api.as(`${token}x`).get('/me');
    }
    await api.post('/node-agents/enroll', { token: secrets[1], nodeName: 'canary' });
    const held = [...secrets, controlPlane.ownerToken, controlPlane.runtime.masterKey];
    expect(await tablesWith(held)).toEqual([]);
  });

  it('a secret in a table would be found', async () => {
    await controlPlane.database.query(`CREATE TABLE leak (a bytea, b jsonb)`);
    await controlPlane.database.query(`INSERT INTO leak VALUES (convert_to($1, 'UTF8'), '{}')`, [
      'canary-in-bytes',
    ]);
    await controlPlane.database.query(`INSERT INTO leak VALUES (NULL, $1)`, [{ deep: ['canary-in-json'] }]);
    expect(await tablesWith(['canary-in-bytes'])).toEqual(['public.leak']);
    expect(await tablesWith(['canary-in-json'])).toEqual(['public.leak']);
    expect(await tablesWith(['no-canary'])).toEqual([]);
    await controlPlane.database.query('DROP TABLE leak');
  });
});

/** What a token holds after its prefix and id; a key in base64url has no such parts, though it may hold underscores. */
function secretPart(secret: string): string {
  return /^(?:fab|fjt)_[0-9A-Za-z]{22}_([0-9A-Za-z]{43,})$/.exec(secret)?.[1] ?? secret;
}

/** The tables, of every schema, in which a row's text holds one of these, plain, in base64 or as bytes. */
async function tablesWith(secrets: readonly string[]): Promise<string[]> {
  const session = await openSecondSession(controlPlane);
  try {
    const needles = secrets.flatMap((secret) => {
      const forms = [secret, secretPart(secret), Buffer.from(secret).toString('base64').replace(/=+$/, '')];
      return [...forms, ...forms.map((form) => Buffer.from(form).toString('hex'))];
    });
    const tables = await session.query<{ name: string }>(
      `SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1`,
    );
    expect(tables.length).toBeGreaterThan(20);
    const found: string[] = [];
    for (const { name } of tables) {
      const rows = await session.query(
        `SELECT 1 FROM ${name} AS t, unnest($1::text[]) AS n (needle) WHERE strpos(t::text, n.needle) > 0 LIMIT 1`,
        [needles],
      );
      if (rows.length > 0) found.push(name);
    }
    return found;
  } finally {
    await session.end();
  }
}
