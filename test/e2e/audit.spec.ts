import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { migrate } from '../../src/common/database/migrations/migrator.js';
import { newId } from '../../src/common/ids/uuid.js';
import { Transactor } from '../../src/common/transaction/transactor.js';
import { AuditReadModel } from '../../src/modules/audit/audit.read-model.js';
import type { Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';

let controlPlane: ControlPlane;
let api: Api;

beforeAll(async () => {
  controlPlane = await startControlPlane();
  api = controlPlane.api;
});
afterAll(() => controlPlane.close());

interface Shown {
  id: string;
  occurredAt: string;
  action: string;
}

const ids = (events: readonly Shown[]) => events.map((event) => event.id);

/** The answer's events. */
async function list(query: Record<string, string>, as: Api = api): Promise<Shown[]> {
  const answer = await as.get(`/audit/events?${new URLSearchParams(query)}`);
  return (created(answer) as { items: Shown[] }).items;
}

/** An API token that may read the log of one cluster, or of the whole platform. */
async function reader(clusterId?: string): Promise<Api> {
  const body = { name: unique('auditor'), permissions: ['audit.read'], ...(clusterId ? { clusterId } : {}) };
  return api.as((created(await api.post('/api-tokens', body)) as { token: string }).token);
}

/** An event as it stands in the table, for what no operation of the service writes. Returns its id. */
async function event(columns: Record<string, unknown> = {}): Promise<string> {
  const row: Record<string, unknown> = {
    id: newId(),
    actor_type: 'system',
    actor_id: 'test',
    actor_name: 'test',
    action: 'test.happened',
    resource_type: 'test',
    outcome: 'success',
    high_risk: false,
    ...columns,
  };
  const names = Object.keys(row);
  await controlPlane.database.query(
    `INSERT INTO audit_events (${names.join(', ')}) VALUES (${names.map((_, at) => `$${at + 1}`).join(', ')})`,
    Object.values(row),
  );
  return row.id as string;
}

describe('reading the audit log', () => {
  it('shows who did what to which resource, with what changed', async () => {
    const cluster = await given(controlPlane).cluster({ name: 'Seen by audit', slug: unique('seen') });
    const patched = await api.patch(
      `/clusters/${cluster.id}`,
      { region: 'eu-east' },
      { 'x-request-id': 'req-patch', 'user-agent': 'a-test' },
    );
    expect(patched.status).toBe(200);
    const [updated, made] = await list({ clusterId: cluster.id });
    expect(updated).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      sequence: null,
      occurredAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      actor: {
        type: 'bootstrap',
        id: 'bootstrap',
        displayName: 'Bootstrap token',
        ip: '127.0.0.1',
        userAgent: 'a-test',
      },
      action: 'cluster.updated',
      resource: { type: 'cluster', id: cluster.id, name: 'Seen by audit' },
      clusterId: cluster.id,
      organizationId: null,
      outcome: 'success',
      highRisk: false,
      requestId: 'req-patch',
      reason: null,
      before: { region: null },
      after: { region: 'eu-east' },
    });
    expect(made?.action).toBe('cluster.created');
  });

  it('reads one event by its id, with an ETag', async () => {
    const id = await event({ after: { answer: 42 } });
    const answer = await api.get(`/audit/events/${id}`);
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ id, sequence: null, after: { answer: 42 } });
    const again = await api.get(`/audit/events/${id}`, { 'if-none-match': answer.headers.get('etag') ?? '' });
    expect(again.status).toBe(304);
  });

  it.each(['019ab0c4-7e11-7a52-8d3f-000000000000', '3f2504e0-4f89-41d3-9a0c-0305e82c3301', 'x'])(
    'answers 404 for %s, which is no event',
    async (id) => {
      const answer = await api.get(`/audit/events/${id}`);
      expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
    },
  );

  it('offers the events of one resource to other modules, newest first', async () => {
    const resource = { resource_type: 'thing', resource_id: newId() };
    const first = await event({ ...resource, occurred_at: '2026-11-01T00:00:00Z' });
    const second = await event({ ...resource, occurred_at: '2026-11-02T00:00:00Z' });
    await event({ ...resource, resource_type: 'other' });
    const [events, transactor] = [controlPlane.app.get(AuditReadModel), controlPlane.app.get(Transactor)];
    const found = await transactor.read((tx) => events.forResource(tx, 'thing', resource.resource_id, 10));
    expect(ids(found)).toEqual([second, first]);
    const newest = await transactor.read((tx) => events.forResource(tx, 'thing', resource.resource_id, 1));
    expect(ids(newest)).toEqual([second]);
  });
});

describe('filters of the audit log', () => {
  const clusterId = newId();
  const organizationId = '019ab0c4-7e11-7a52-8d3f-000000000001';
  const actorId = '019ab0c4-7e11-7a52-8d3f-000000000002';
  const resourceId = '019ab0c4-7e11-7a52-8d3f-000000000003';
  const at = '2026-11-23T10:00:00.000Z';
  const full = {
    cluster_id: clusterId,
    organization_id: organizationId,
    actor_id: actorId,
    actor_type: 'user',
    actor_name: 'Ada Lovelace',
    action: 'filter.tried',
    resource_type: 'filter_case',
    resource_id: resourceId,
    resource_name: 'Edge-1',
    occurred_at: at,
    high_risk: true,
    outcome: 'denied',
    request_id: 'filter-request',
    reason: 'Needs Approval',
  };
  let wanted: string;
  beforeAll(async () => {
    wanted = await event(full);
    // Another in the same cluster that differs in everything else.
    await event({ cluster_id: clusterId, occurred_at: '2026-11-23T09:00:00.000Z' });
  });

  it.each([
    ['organizationId', organizationId],
    ['actorId', actorId],
    ['actorType', 'user'],
    ['action', 'filter.tried'],
    ['resourceType', 'filter_case'],
    ['resourceId', resourceId],
    ['from', at],
    ['from', '2026-11-23T12:59:59+03:00'],
    ['highRisk', 'true'],
    ['outcome', 'denied'],
    ['requestId', 'filter-request'],
    ['q', 'LOVELACE'],
    ['q', 'edge-1'],
    ['q', 'needs app'],
    ['q', 'r.tri'],
  ])('%s=%s finds what it names and nothing else', async (name, value) => {
    expect(ids(await list({ clusterId, [name]: value }))).toEqual([wanted]);
  });

  it.each([
    ['to', at],
    ['highRisk', 'false'],
    ['outcome', 'success'],
    ['actorType', 'system'],
  ])('%s=%s leaves it out', async (name, value) => {
    const found = await list({ clusterId, [name]: value });
    expect(found).toHaveLength(1);
    expect(ids(found)).not.toContain(wanted);
  });

  it('work together, and a cluster alone shows both', async () => {
    expect(await list({ clusterId })).toHaveLength(2);
    expect(await list({ clusterId, actorId, outcome: 'success' })).toEqual([]);
    expect(await list({ clusterId: newId() })).toEqual([]);
  });

  it('take a percent sign and an underscore as they are', async () => {
    expect(await list({ clusterId, q: '%' })).toEqual([]);
    expect(ids(await list({ clusterId, q: 'filter_' }))).toEqual([]);
  });

  it.each([
    ['from', '0000-01-01T00:00:00Z'],
    ['to', '9999-12-31T23:59:59-12:00'],
  ])('%s=%s is far away and harmless', async (name, value) => {
    expect(await list({ clusterId, [name]: value })).toHaveLength(2);
  });

  it.each([
    ['clusterId', 'moscow'],
    ['actorType', 'robot'],
    ['outcome', 'maybe'],
    ['highRisk', 'yes'],
    ['from', 'yesterday'],
    ['to', '2026-02-30T00:00:00Z'],
    ['limit', '0'],
    ['actorId', 'a\nb'],
    ['q', ''],
    ['colour', 'red'],
    ['resourceId', '\u0000'],
  ])('refuse %s=%j by its name', async (name, value) => {
    const answer = await api.get(`/audit/events?${new URLSearchParams({ [name]: value })}`);
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_parameter']);
    expect(answer.body.errors[0].parameter).toBe(name);
  });
});

describe('pages of the audit log', () => {
  const clusterId = newId();
  let all: string[];
  beforeAll(async () => {
    // Equal instants: the id decides, and no page may skip or repeat one.
    const made = [];
    for (let nth = 0; nth < 7; nth += 1) {
      made.push(
        await event({
          cluster_id: clusterId,
          occurred_at: nth < 5 ? '2026-11-20T00:00:00Z' : '2026-12-20T00:00:00Z',
        }),
      );
    }
    all = [...made.slice(5).sort().reverse(), ...made.slice(0, 5).sort().reverse()];
  });

  it('hold every event once, newest first, over equal instants and months', async () => {
    const seen: string[] = [];
    let next: string | null = `/audit/events?clusterId=${clusterId}&limit=2`;
    while (next !== null) {
      const answer = await api.get(next);
      seen.push(...ids(answer.body.items));
      const { nextCursor } = answer.body;
      next = nextCursor === null ? null : `/audit/events?clusterId=${clusterId}&limit=2&cursor=${nextCursor}`;
    }
    expect(seen).toEqual(all);
  });

  it('end with their filters: a cursor is good for no other list', async () => {
    const { nextCursor } = (await api.get(`/audit/events?clusterId=${clusterId}&limit=2`)).body;
    const other = await api.get(
      `/audit/events?clusterId=${clusterId}&limit=2&outcome=success&cursor=${nextCursor}`,
    );
    expect([other.status, other.body.code]).toEqual([400, 'invalid_cursor']);
  });
});

describe('who may read the audit log', () => {
  it('is whoever holds audit.read', async () => {
    const body = { name: unique('operator'), permissions: ['clusters.read'] };
    const { token } = created(await api.post('/api-tokens', body)) as { token: string };
    for (const path of ['/audit/events', `/audit/events/${newId()}`, '/audit/export']) {
      expect((await api.as(token).get(path)).status).toBe(403);
      expect((await api.as(null).get(path)).status).toBe(401);
    }
  });

  it('sees the clusters over which they hold it, and nothing of others or of the platform', async () => {
    const [mine, foreign] = [await given(controlPlane).cluster(), await given(controlPlane).cluster()];
    const own = await event({ cluster_id: mine.id });
    const other = await event({ cluster_id: foreign.id });
    const platform = await event();
    const scoped = await reader(mine.id);
    const shown = await list({}, scoped);
    expect(ids(shown)).toContain(own);
    expect(new Set(shown.map((each) => (each as unknown as { clusterId: string }).clusterId))).toEqual(
      new Set([mine.id]),
    );
    expect(await list({ clusterId: foreign.id }, scoped)).toEqual([]);
    expect((await scoped.get(`/audit/events/${own}`)).status).toBe(200);
    expect((await scoped.get(`/audit/events/${other}`)).status).toBe(404);
    expect((await scoped.get(`/audit/events/${platform}`)).status).toBe(404);
    const exported = (await scoped.get('/audit/export')).body as string;
    expect(exported).toContain(own);
    expect(exported).not.toContain(other);
    expect(ids(await list({ limit: '200' }, await reader()))).toEqual(
      expect.arrayContaining([own, other, platform]),
    );
  });
});

describe('the export of the audit log', () => {
  it('holds every event as a line, over as many batches as it takes, and takes the filters', async () => {
    const clusterId = newId();
    await controlPlane.database.query(
      `INSERT INTO audit_events (id, actor_type, action, resource_type, resource_id, cluster_id, outcome, high_risk)
       SELECT gen_random_uuid(), 'system', 'bulk.made', 'bulk', n::text, $1, CASE WHEN n % 2 = 0 THEN 'success' ELSE 'failed' END, false
         FROM generate_series(1, 1300) AS n`,
      [clusterId],
    );
    const answer = await api.get(`/audit/export?clusterId=${clusterId}`);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/x-ndjson']);
    expect(answer.headers.get('content-disposition')).toBe('attachment; filename="audit-events.ndjson"');
    const lines = (answer.body as string)
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(new Set(lines.map((line) => line.resource.id)).size).toBe(1300);
    expect(lines).toHaveLength(1300);
    expect(lines[0]).toEqual((await api.get(`/audit/events?clusterId=${clusterId}&limit=1`)).body.items[0]);
    const failed = (await api.get(`/audit/export?clusterId=${clusterId}&outcome=failed`)).body as string;
    expect(failed.trimEnd().split('\n')).toHaveLength(650);
  });

  it('is empty where nothing fits, and refuses what is no filter', async () => {
    const empty = await api.get(`/audit/export?clusterId=${newId()}`);
    expect([empty.status, empty.body]).toEqual([200, '']);
    expect((await api.get('/audit/export?limit=5')).status).toBe(400);
    expect((await api.get('/audit/export', { accept: 'application/json' })).status).toBe(406);
  });

  it('answers HEAD without reading the log', async () => {
    const answer = await fetch(`${controlPlane.url}/api/v1/audit/export`, {
      method: 'HEAD',
      headers: { authorization: `Bearer ${controlPlane.ownerToken}` },
    });
    expect(answer.status).toBe(200);
  });
});

describe('the table of audit events', () => {
  let service: pg.Client;
  beforeAll(async () => {
    service = new pg.Client({ connectionString: controlPlane.runtime.database.appUrl });
    await service.connect();
  });
  afterAll(() => service.end());

  it.each([
    `UPDATE audit_events SET reason = 'rewritten'`,
    'DELETE FROM audit_events',
    'TRUNCATE audit_events',
    'DROP TABLE audit_events',
    'ALTER TABLE audit_events DISABLE TRIGGER ALL',
    'DELETE FROM audit_events_default',
    'INSERT INTO audit_events_default SELECT * FROM audit_events',
    'SELECT * FROM audit_events_default',
  ])('refuses the service to %s', async (statement) => {
    await expect(service.query(statement)).rejects.toMatchObject({ code: '42501' });
  });

  it.each([`UPDATE audit_events SET reason = 'rewritten'`, 'DELETE FROM audit_events'])(
    'stops even its owner from a careless %s',
    async (statement) => {
      await event();
      await expect(controlPlane.database.query(statement)).rejects.toThrow('never changed or removed');
    },
  );

  it('closes every partition to the service', async () => {
    const open = await controlPlane.database.query(
      `SELECT i.inhrelid::regclass::text AS partition FROM pg_inherits AS i
        WHERE i.inhparent = 'audit_events'::regclass
          AND has_table_privilege((SELECT rolname FROM pg_roles WHERE rolname = $1), i.inhrelid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')`,
      [new URL(controlPlane.runtime.database.appUrl).username],
    );
    expect(open).toEqual([]);
  });

  it('has a partition for this month and the 12 that follow, and one for everything else', async () => {
    // The template may be of another month.
    await migrate(controlPlane.runtime.database);
    const partitions = await controlPlane.database.query<{ name: string }>(
      `SELECT i.inhrelid::regclass::text AS name FROM pg_inherits AS i WHERE i.inhparent = 'audit_events'::regclass`,
    );
    const [clock] = await controlPlane.database.query<{ now: Date }>('SELECT now() AS now');
    const months = Array.from({ length: 13 }, (_, ahead) => {
      const now = clock?.now ?? new Date();
      const month = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + ahead));
      return `audit_events_${month.toISOString().slice(0, 7).replace('-', '_')}`;
    });
    expect(partitions.map((each) => each.name)).toEqual(
      expect.arrayContaining([...months, 'audit_events_default']),
    );
    const [place] = await controlPlane.database.query<{ partition: string }>(
      'SELECT tableoid::regclass::text AS partition FROM audit_events WHERE id = $1',
      [await event()],
    );
    expect(place?.partition).toBe(months[0]);
  });

  it('keeps an event of a time without a partition of its own', async () => {
    const id = await event({ occurred_at: '2019-01-01T00:00:00Z' });
    const [place] = await controlPlane.database.query<{ partition: string }>(
      'SELECT tableoid::regclass::text AS partition FROM audit_events WHERE id = $1',
      [id],
    );
    expect(place?.partition).toBe('audit_events_default');
  });
});
