import { execFile } from 'node:child_process';
import { chown, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { Sequencer } from '../../src/common/changes/sequencer.js';
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../src/common/database/embedded/embedded-postgres.js';
import { readPostgresCredentials } from '../../src/common/database/embedded/postgres-credentials.js';
import { migrate } from '../../src/common/database/migrations/migrator.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { copyDatabase } from '../support/copy-database.js';
import { type EventSource, openEventSource, type SentEvent } from '../support/event-source.js';
import { created, given, unique } from '../support/given.js';
import { openMovingEndpoint } from '../support/moving-endpoint.js';
import { createScratchDataDirectory, type ScratchDataDirectory } from '../support/scratch-data-directory.js';
import { openSecondSession } from '../support/second-session.js';
import { until } from '../support/until.js';

const PATIENCE_MS = 240_000;
/** More transactions than a fresh server has counted. */
const SPENT_TRANSACTIONS = 20_000;
const WITHOUT_WORKERS = { config: { role: 'api' as const } };

/** A Postgres of this file's own; the test's databases are on another. */
let primary: EmbeddedPostgres;
let directory: ScratchDataDirectory;
const opened: ControlPlane[] = [];
const sources: EventSource[] = [];
beforeAll(async () => {
  directory = await createScratchDataDirectory();
  primary = await startEmbeddedPostgres({ dataDir: directory.path, log: () => undefined });
  await migrate(primary);
}, PATIENCE_MS);
afterAll(async () => {
  for (const source of sources) source.close();
  for (const plane of opened.splice(0).reverse()) await plane.close();
  await primary?.stop();
  await directory?.remove();
}, PATIENCE_MS);

type Ground = Pick<ControlPlane, 'ownerToken'> & {
  runtime: Pick<ControlPlane['runtime'], 'database' | 'masterKey'>;
};

/** The installation of `plane` on another database. */
function moved(plane: Ground, { appUrl, ownerUrl }: { appUrl: string; ownerUrl: string }): Ground {
  const { masterKey } = plane.runtime;
  return {
    ownerToken: plane.ownerToken,
    runtime: { masterKey, database: { appUrl, ownerUrl, directUrl: appUrl } },
  };
}

async function start(beside: Ground): Promise<ControlPlane> {
  const plane = await startControlPlane({ ...WITHOUT_WORKERS, beside });
  opened.push(plane);
  return plane;
}

async function stop(...planes: ControlPlane[]): Promise<void> {
  for (const plane of planes) {
    await plane.close();
    opened.splice(opened.indexOf(plane), 1);
  }
}

async function superuserUrl(dataDir: string, server: EmbeddedPostgres): Promise<string> {
  const url = new URL(server.ownerUrl);
  url.username = 'postgres';
  url.password = (await readPostgresCredentials(dataDir))?.superuser ?? '';
  return url.href;
}

async function follow({ url, ownerToken }: ControlPlane, lastEventId?: string): Promise<EventSource> {
  const headers = { authorization: `Bearer ${ownerToken}`, accept: 'text/event-stream' };
  const cursor: Record<string, string> = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
  const source = await openEventSource(`${url}/api/v1/events`, { ...headers, ...cursor });
  sources.push(source);
  return source;
}

const isUpdate = ({ data }: SentEvent) => data.kind === 'cluster.updated';

const authorityOf = async (plane: ControlPlane, clusterId: string) =>
  created(await plane.api.get(`/clusters/${clusterId}/authority`)) as {
    term: number;
    holder: string;
    takeoversHeldUntil: string | null;
  };
const raises = async (plane: ControlPlane, clusterId: string) =>
  (await plane.api.get(`/audit/events?clusterId=${clusterId}&action=authority.term_raised`)).body.items;

/** The places that were given since the last jump: every one of them, once, and none is missing. */
async function expectDenseFeed(plane: ControlPlane): Promise<void> {
  await plane.app.get(Sequencer).sync();
  const [row] = await plane.database.query<Record<string, number>>(`
    SELECT count(*) FILTER (WHERE f.position > s.pruned_through)::float8 AS rows,
           count(*) FILTER (WHERE f.position IS NULL)::int AS unnumbered,
           s.last_position::float8 - s.pruned_through::float8 AS given,
           min(f.position) FILTER (WHERE f.position > s.pruned_through)::float8 - s.pruned_through::float8 AS first,
           max(f.position)::float8 - s.last_position::float8 AS beyond
      FROM change_feed AS f, change_feed_sequencer AS s GROUP BY s.last_position, s.pruned_through`);
  expect(row).toEqual({ rows: row?.given, unnumbered: 0, given: row?.given, first: 1, beyond: 0 });
  expect(row?.rows).toBeGreaterThan(0);
}

/** The installation as it came out of the first test, on the primary. */
let restored: Ground;
let clusterId: string;

describe('a database that was restored on another server', () => {
  it(
    'raises the term once although two instances start at once, and the feed goes on without a gap',
    async () => {
      const source = await startControlPlane(WITHOUT_WORKERS);
      try {
        await source.database.query(
          `DO $$ BEGIN FOR i IN 1..${SPENT_TRANSACTIONS} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`,
        );
        clusterId = (await given(source).cluster()).id;
        const follower = await follow(source);
        created(await source.api.patch(`/clusters/${clusterId}`, { labels: { numbered: 'yes' } }));
        const numbered = (await follower.until((events) => events.some(isUpdate))).at(-1);
        // An open transaction holds the numbering back: what follows is in the dump without a place.
        const holding = await openSecondSession(source);
        await holding.query('BEGIN');
        await holding.query('SELECT pg_current_xact_id()');
        created(await source.api.patch(`/clusters/${clusterId}`, { labels: { unnumbered: 'yes' } }));
        await copyDatabase(source.runtime.database.ownerUrl, await superuserUrl(directory.path, primary));
        await holding.query('ROLLBACK');
        await holding.end();
        const before = await authorityOf(source, clusterId);

        restored = moved(source, primary);
        const [one, two] = await Promise.all([start(restored), start(restored)]);
        for (const plane of [one, two]) {
          const after = await authorityOf(plane, clusterId);
          expect(after).toMatchObject({ term: before.term + 1, takeoversHeldUntil: expect.any(String) });
          expect(after.holder).not.toBe(before.holder);
        }
        expect(await raises(one, clusterId)).toMatchObject([
          {
            actor: { type: 'system', id: 'server-watch' },
            after: { term: before.term + 1, cause: 'restore' },
          },
        ]);
        expect((await raises(one, clusterId))[0].reason).toMatch(
          /^The database is \d+ on timeline 1; it was \d+ on/,
        );

        await expectDenseFeed(one);
        const foreign = await one.database.query(
          `SELECT 1 FROM change_feed WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())`,
        );
        expect(foreign).toEqual([]);

        // Whoever had read the source starts anew, and from there on misses nothing.
        const returned = await follow(two, numbered?.id);
        created(await one.api.patch(`/clusters/${clusterId}`, { labels: { later: 'yes' } }));
        const seen = await returned.until((events) => events.some(isUpdate));
        expect(seen[0]).toMatchObject({ type: 'reset' });
        expect(seen.filter(isUpdate)).toHaveLength(1);
        await stop(one, two);
      } finally {
        await source.close();
      }
    },
    PATIENCE_MS,
  );
});

describe('a standby that lacks what was committed last, promoted', () => {
  let standbyDirectory: ScratchDataDirectory;
  let standby: EmbeddedPostgres | undefined;
  beforeAll(async () => {
    standbyDirectory = await createScratchDataDirectory();
  });
  afterAll(async () => {
    await standby?.stop();
    await standbyDirectory?.remove();
  }, PATIENCE_MS);

  /** A physical copy of the primary that follows its log. */
  async function startStandby(): Promise<EmbeddedPostgres> {
    await primary.stop();
    await promisify(execFile)('cp', ['-a', `${directory.path}/.`, standbyDirectory.path]);
    primary = await startEmbeddedPostgres({ dataDir: directory.path, log: () => undefined });
    const { port, password } = new URL(await superuserUrl(directory.path, primary));
    const files = join(standbyDirectory.path, 'postgres');
    const { uid, gid } = await stat(files);
    const settings = { 'standby.signal': '', 'local.conf': primaryAt(port, password) };
    for (const [name, text] of Object.entries(settings)) {
      await writeFile(join(files, name), text);
      await chown(join(files, name), uid, gid);
    }
    return startEmbeddedPostgres({ dataDir: standbyDirectory.path, log: () => undefined });
  }
  const primaryAt = (port: string, password: string) =>
    `primary_conninfo = 'host=127.0.0.1 port=${port} user=postgres password=${password}'\n`;

  it(
    'raises the term once, for those that run and those that start, and gives no place of the feed again',
    async () => {
      standby = await startStandby();
      const dataDir = standbyDirectory.path;
      const onStandby = new pg.Client({ connectionString: await superuserUrl(dataDir, standby) });
      // Ended with the server where a failing test leaves it open.
      onStandby.on('error', () => undefined);
      await onStandby.connect();
      const ask = async (text: string, values: unknown[] = []) =>
        (await onStandby.query(text, values)).rows[0];
      const endpoint = await openMovingEndpoint(Number(new URL(primary.appUrl).port));
      try {
        const through = (url: string) => Object.assign(new URL(url), { port: String(endpoint.port) }).href;
        const running = await start(
          moved(restored, { appUrl: through(primary.appUrl), ownerUrl: through(primary.ownerUrl) }),
        );
        const before = await authorityOf(running, clusterId);
        const follower = await follow(running);
        created(await running.api.patch(`/clusters/${clusterId}`, { labels: { kept: 'yes' } }));
        await follower.until((all) => all.some(isUpdate));
        const [at] = await running.database.query<{ lsn: string }>(
          'SELECT pg_current_wal_lsn()::text AS lsn',
        );
        await until(
          () => ask('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS done', [at?.lsn]),
          (row) => row?.done === true,
        );
        await onStandby.query(`ALTER SYSTEM SET primary_conninfo = ''`);
        await onStandby.query('SELECT pg_reload_conf()');
        await until(
          () => ask('SELECT count(*)::int AS receivers FROM pg_stat_wal_receiver'),
          (row) => row?.receivers === 0,
        );

        // What the standby will never see, and what somebody has read of it.
        const lost = created(await running.api.post('/clusters', { name: 'Lost', slug: unique('lost') })) as {
          id: string;
        };
        const events = await follower.until((all) => all.some(({ data }) => data.resourceId === lost.id));
        const cursor = events.at(-1)?.id;

        await primary.stop();
        await onStandby.query('SELECT pg_promote(true, 60)');
        endpoint.moveTo(Number(new URL(standby.appUrl).port));
        const here = moved(restored, standby);
        const [one, two] = await Promise.all([start(here), start(here)]);

        const after = await until(
          () => running.api.get(`/clusters/${clusterId}/authority`),
          ({ status, body }) => status === 200 && body.term > before.term,
        );
        expect(after.body).toMatchObject({ term: before.term + 1, takeoversHeldUntil: expect.any(String) });
        for (const plane of [one, two])
          expect(await authorityOf(plane, clusterId)).toMatchObject({ term: before.term + 1 });
        expect(await raises(one, clusterId)).toMatchObject([
          {
            after: { term: before.term + 1, cause: 'promotion' },
            reason: expect.stringContaining('on timeline 2'),
          },
          { after: { term: before.term, cause: 'restore' } },
        ]);

        expect((await one.api.get(`/clusters/${lost.id}`)).status).toBe(404);
        expect((await one.api.get(`/clusters/${clusterId}`)).body.labels).toMatchObject({ kept: 'yes' });
        const returned = await follow(one, cursor);
        created(await running.api.patch(`/clusters/${clusterId}`, { labels: { promoted: 'yes' } }));
        const seen = await returned.until((all) => all.some(isUpdate));
        expect(seen[0]).toMatchObject({ type: 'reset' });
        await expectDenseFeed(one);
        await until(
          () => running.api.put(`/clusters/${clusterId}/policy`, {}),
          ({ status }) => status === 200,
        );
        await stop(one, two, running);
      } finally {
        await onStandby.end();
        await endpoint.close();
      }
    },
    PATIENCE_MS,
  );
});
