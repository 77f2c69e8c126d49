import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { EventStreams } from '../../src/common/changes/event-streams.js';
import { Sequencer } from '../../src/common/changes/sequencer.js';
import { newId } from '../../src/common/ids/uuid.js';
import { Jobs } from '../../src/common/jobs/jobs.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { type EventSource, openEventSource, type SentEvent } from '../support/event-source.js';
import { created, given, unique } from '../support/given.js';
import { type RunningTestServer, startOwnTestServer } from '../support/test-server.js';

let server: RunningTestServer;
let controlPlane: ControlPlane;
/** A second instance on the same database. */
let other: ControlPlane;
const sources: EventSource[] = [];
const writers: pg.Client[] = [];

beforeAll(async () => {
  server = await startOwnTestServer();
  controlPlane = await startControlPlane();
  other = await startControlPlane({ beside: controlPlane });
});
afterEach(async () => {
  for (const source of sources.splice(0)) source.close();
  await Promise.all(writers.splice(0).map((writer) => writer.end()));
});
afterAll(async () => {
  await other.close();
  await controlPlane.close();
  await server.stop();
});

interface Following {
  query?: Record<string, string>;
  lastEventId?: string;
  token?: string;
  at?: ControlPlane;
}

/** Follows the events as the platform's owner, unless told otherwise. */
async function follow({
  query = {},
  lastEventId,
  token,
  at = controlPlane,
}: Following = {}): Promise<EventSource> {
  const source = await openEventSource(`${at.url}/api/v1/events?${new URLSearchParams(query)}`, {
    authorization: `Bearer ${token ?? at.ownerToken}`,
    accept: 'text/event-stream',
    ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
  });
  sources.push(source);
  return source;
}

/** An API token that may follow the events of one cluster, or of all. */
async function followerToken(clusterId?: string): Promise<{ id: string; token: string }> {
  const body = {
    name: unique('follower'),
    permissions: ['events.read'],
    ...(clusterId ? { clusterId } : {}),
  };
  return created(await controlPlane.api.post('/api-tokens', body)) as { id: string; token: string };
}

/** A connection as the service's role: one transaction beside others. */
async function writer(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: controlPlane.runtime.database.appUrl });
  await client.connect();
  writers.push(client);
  return client;
}

/** Writes changes of a kind that only this file has. */
async function change(
  client: { query(text: string, values: unknown[]): Promise<unknown> },
  resourceId: string,
  clusterId: string | null = null,
): Promise<void> {
  await client.query(
    `INSERT INTO change_feed (kind, resource_type, resource_id, cluster_id) VALUES ('test.changed', 'test', $1, $2)`,
    [resourceId, clusterId],
  );
}

const ofTest = (events: readonly SentEvent[]) => events.filter((event) => event.data.kind === 'test.changed');
const names = (events: readonly SentEvent[]) =>
  ofTest(events).map((event) => event.data.resourceId as string);
const has = (name: string) => (events: readonly SentEvent[]) => names(events).includes(name);

describe('the stream of events', () => {
  it('tells of a change once it is committed, on every instance', async () => {
    const streams = [await follow(), await follow({ at: other })];
    const { id } = await given(controlPlane).cluster();
    const isIt = (event: SentEvent) => event.data.resourceId === id;
    for (const stream of streams) {
      const event = (await stream.until((events) => events.some(isIt))).find(isIt);
      expect(event).toEqual({
        type: 'message',
        id: expect.stringMatching(/^\d+$/),
        data: {
          id: event?.id,
          kind: 'cluster.created',
          resourceType: 'cluster',
          resourceId: id,
          clusterId: id,
          revision: null,
          occurredAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        },
      });
    }
  });

  it('says what it is, and is neither cached nor held back by proxies', async () => {
    const { headers, comments, until } = await follow();
    expect(headers.get('content-type')).toBe('text/event-stream');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('x-accel-buffering')).toBe('no');
    await until(() => comments.includes('connected'));
  });

  it('starts with what comes now', async () => {
    const before = unique('before');
    await change(controlPlane.database, before);
    await controlPlane.app.get(Sequencer).sync();
    const stream = await follow();
    const after = unique('after');
    await change(controlPlane.database, after);
    expect(names(await stream.until(has(after)))).toEqual([after]);
  });

  it('is in one order without gaps while many commit at once', async () => {
    const [here, there] = [await follow(), await follow({ at: other })];
    const clients = await Promise.all(Array.from({ length: 8 }, () => writer()));
    const expected: string[] = [];
    await Promise.all(
      clients.map(async (client, who) => {
        for (let nth = 0; nth < 25; nth += 1) {
          const name = `race-${who}-${nth}`;
          await client.query('BEGIN');
          await change(client, name);
          await client.query(nth % 5 === 4 ? 'ROLLBACK' : 'COMMIT');
          if (nth % 5 !== 4) expected.push(name);
        }
      }),
    );
    const isAll = (events: readonly SentEvent[]) => ofTest(events).length >= expected.length;
    const [seen, alsoSeen] = [await here.until(isAll), await there.until(isAll)];
    expect([...names(seen)].sort()).toEqual(expected.sort());
    expect(names(alsoSeen)).toEqual(names(seen));
    const positions = seen.map((event) => Number(event.id));
    expect(positions).toEqual(positions.map((_, index) => (positions[0] ?? 0) + index));
  });

  it('waits for a transaction that stays open, and skips nothing of it', async () => {
    const stream = await follow();
    const [slow, quick] = [unique('slow'), unique('quick')];
    const client = await writer();
    await client.query('BEGIN');
    await change(client, slow);
    await change(controlPlane.database, quick);
    await controlPlane.app.get(Sequencer).sync();
    const [row] = await controlPlane.database.query(
      'SELECT position FROM change_feed WHERE resource_id = $1',
      [quick],
    );
    expect(row).toEqual({ position: null });
    await client.query('COMMIT');
    expect(names(await stream.until(has(quick)))).toEqual([slow, quick]);
  });
});

describe('a follower that comes back', () => {
  it('goes on behind the last event that it has, by header or by query', async () => {
    const first = await follow();
    const missed = Array.from({ length: 5 }, () => unique('missed'));
    for (const name of missed) await change(controlPlane.database, name);
    const [, second] = ofTest(await first.until(has(missed[4] ?? '')));
    first.close();
    const lastEventId = second?.id ?? '';
    for (const again of [
      await follow({ lastEventId }),
      await follow({ query: { lastEventId } }),
      await follow({ lastEventId, query: { lastEventId: '1' }, at: other }),
    ]) {
      expect(names(await again.until(has(missed[4] ?? '')))).toEqual(missed.slice(2));
    }
  });

  it('gets everything that it missed, however much, and then what comes', async () => {
    const stream = await follow();
    const marker = unique('marker');
    await change(controlPlane.database, marker);
    const [start] = ofTest(await stream.until(has(marker)));
    stream.close();
    const prefix = unique('bulk');
    await controlPlane.database.query(
      `INSERT INTO change_feed (kind, resource_type, resource_id)
       SELECT 'test.changed', 'test', $1 || n FROM generate_series(1, 3000) AS n`,
      [prefix],
    );
    const again = await follow({ lastEventId: start?.id ?? '' });
    await again.until(has(`${prefix}3000`));
    const last = unique('last');
    await change(controlPlane.database, last);
    const expected = [...Array.from({ length: 3000 }, (_, nth) => `${prefix}${nth + 1}`), last];
    expect(names(await again.until(has(last)))).toEqual(expected);
  });

  it('is told to read anew when its cursor is from the future', async () => {
    const stream = await follow({ lastEventId: '999999999999' });
    const [reset] = await stream.until((events) => events.length > 0);
    expect(reset).toMatchObject({ type: 'reset', data: { kind: 'reset', reason: 'cursor_unknown' } });
    const next = unique('next');
    await change(controlPlane.database, next);
    expect(names(await stream.until(has(next)))).toEqual([next]);
  });

  it.each(['x', '-1', '1.5', '1234567890123456'])('is refused with the cursor %s', async (lastEventId) => {
    const byHeader = await controlPlane.api.get('/events', { 'last-event-id': lastEventId });
    expect([byHeader.status, byHeader.body.code]).toEqual([400, 'invalid_header']);
    const byQuery = await controlPlane.api.get(`/events?lastEventId=${lastEventId}`);
    expect([byQuery.status, byQuery.body.code]).toEqual([400, 'invalid_parameter']);
  });
});

describe('who may follow', () => {
  it('is whoever holds events.read', async () => {
    const body = { name: unique('reader'), permissions: ['clusters.read'] };
    const { token } = created(await controlPlane.api.post('/api-tokens', body)) as { token: string };
    expect((await controlPlane.api.as(token).get('/events')).status).toBe(403);
    expect((await controlPlane.api.as(null).get('/events')).status).toBe(401);
    expect((await controlPlane.api.get('/events', { accept: 'application/json' })).status).toBe(406);
  });

  it('sees the clusters over which they hold it, live and when they come back', async () => {
    const [mine, foreign] = [await given(controlPlane).cluster(), await given(controlPlane).cluster()];
    const { token } = await followerToken(mine.id);
    const all = await follow();
    const scoped = await follow({ token });
    const wanted = [unique('mine'), unique('mine')];
    await change(controlPlane.database, wanted[0] ?? '', mine.id);
    await change(controlPlane.database, unique('foreign'), foreign.id);
    await change(controlPlane.database, unique('platform'), null);
    await change(controlPlane.database, wanted[1] ?? '', mine.id);
    const everything = ofTest(await all.until(has(wanted[1] ?? '')));
    expect(everything).toHaveLength(4);
    expect(names(await scoped.until(has(wanted[1] ?? '')))).toEqual(wanted);
    const again = await follow({ token, lastEventId: everything[0]?.id ?? '', at: other });
    expect(names(await again.until(has(wanted[1] ?? '')))).toEqual([wanted[1]]);
    const one = await follow({
      query: { clusterId: mine.id },
      lastEventId: String(Number(everything[0]?.id) - 1),
    });
    expect(names(await one.until(has(wanted[1] ?? '')))).toEqual(wanted);
  });

  it('finds neither a foreign cluster nor one that does not exist', async () => {
    const [mine, foreign] = [await given(controlPlane).cluster(), await given(controlPlane).cluster()];
    const scoped = controlPlane.api.as((await followerToken(mine.id)).token);
    const answers = [
      await scoped.get(`/events?clusterId=${foreign.id}`),
      await scoped.get(`/events?clusterId=${newId()}`),
      await controlPlane.api.get(`/events?clusterId=${newId()}`),
    ];
    expect(answers.map((answer) => [answer.status, answer.body.code, answer.body.detail])).toEqual(
      answers.map(() => [404, 'not_found', 'There is no such cluster.']),
    );
  });

  it('ends when the token is revoked, on every instance', async () => {
    const { id, token } = await followerToken();
    // What is told by the feed is to end them, not the look at all credentials.
    for (const { app } of [controlPlane, other])
      app.get(EventStreams).beatsPerRecheck = Number.POSITIVE_INFINITY;
    const streams = [await follow({ token }), await follow({ token, at: other })];
    const owners = await follow();
    expect((await controlPlane.api.delete(`/api-tokens/${id}`)).status).toBe(204);
    await Promise.all(streams.map((stream) => stream.ended));
    const later = unique('later');
    await change(controlPlane.database, later);
    await owners.until(has(later));
  });
});

describe('the end of the feed and of the service', () => {
  /** Sequences until every row has its position: an open transaction of another database holds the horizon back. */
  async function sequenced(on: ControlPlane): Promise<void> {
    for (;;) {
      await on.app.get(Sequencer).sync();
      const waiting = await on.database.query('SELECT 1 FROM change_feed WHERE position IS NULL LIMIT 1');
      if (waiting.length === 0) return;
    }
  }

  it('keeps what is younger than 7 days, and resets a follower whose cursor is older than what is kept', async () => {
    const own = await startControlPlane();
    try {
      for (const nth of [1, 2, 3]) await change(own.database, `old-${nth}`);
      await sequenced(own);
      const [first] = await own.database.query<{ position: number }>(
        `SELECT position::int FROM change_feed WHERE resource_id = 'old-1'`,
      );
      await own.database.query(`UPDATE change_feed SET occurred_at = now() - interval '8 days'`);
      await own.database.query(
        `INSERT INTO idempotency_keys (principal, key_hash, fingerprint, answer, expires_at)
         VALUES ('p', '\\x01', '', '', now() - interval '1 minute'), ('p', '\\x02', '', '', now() + interval '1 hour')`,
      );
      await own.database.query(
        `INSERT INTO used_assertion_ids (issuer, jti, expires_at)
         VALUES ('i', 'gone', now() - interval '1 minute'), ('i', 'live', now() + interval '1 hour')`,
      );
      await change(own.database, 'young');
      await sequenced(own);
      await own.app.get(Jobs).runNow('maintenance', 'retention');
      expect(
        await own.database.query(`SELECT resource_id FROM change_feed WHERE kind = 'test.changed'`),
      ).toEqual([{ resource_id: 'young' }]);
      expect(await own.database.query(`SELECT encode(key_hash, 'hex') AS key FROM idempotency_keys`)).toEqual(
        [{ key: '02' }],
      );
      expect(await own.database.query('SELECT jti FROM used_assertion_ids')).toEqual([{ jti: 'live' }]);
      const [{ through } = { through: 0 }] = await own.database.query<{ through: number }>(
        'SELECT pruned_through::int AS through FROM change_feed_sequencer',
      );
      const tooOld = await follow({ at: own, lastEventId: String(first?.position) });
      const [reset] = await tooOld.until((events) => events.length > 0);
      expect(reset).toMatchObject({ type: 'reset', data: { kind: 'reset', reason: 'cursor_too_old' } });
      const justKept = await follow({ at: own, lastEventId: String(through) });
      expect(names(await justKept.until(has('young')))).toEqual(['young']);
    } finally {
      await own.close();
    }
  });

  it('ends every stream when the service stops', async () => {
    const own = await startControlPlane({ beside: controlPlane });
    const streams = [await follow({ at: own }), await follow({ at: own })];
    await own.close();
    await Promise.all(streams.map((stream) => stream.ended));
  });

  it('says on its metrics how far the feed lags', async () => {
    const { body } = await controlPlane.api.get('//metrics');
    expect(body).toMatch(/^fabric_feed_lag_seconds \d+(\.\d+)?$/m);
    expect(body).toMatch(/^fabric_feed_sequence_lag_seconds \d+(\.\d+)?$/m);
    expect(body).toMatch(/^fabric_feed_rows_total [1-9]\d*$/m);
    expect((await controlPlane.api.get('//readyz')).body.parts.feed).toEqual({ ok: true });
  });
});
