import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { pino } from 'pino';
import { createTestDatabase, type TestDatabase } from '../../../test/support/test-database.js';
import { type RunningTestServer, startOwnTestServer } from '../../../test/support/test-server.js';
import type { Runtime } from '../config/runtime.js';
import { Database } from '../database/database.js';
import { Metrics } from '../observability/metrics.js';
import { Readiness } from '../observability/readiness.js';
import { ChangeReader } from './change-reader.js';
import { Sequencer } from './sequencer.js';
import type { WakeUps } from './wake-up.js';

let server: RunningTestServer;
let testDatabase: TestDatabase;
let database: Database;
let reader: ChangeReader;
let readiness: Readiness;
let seen: string[];
let gaps: number;
let wakeUps: WakeUps & { announced: number };
const writers: pg.Client[] = [];

beforeAll(async () => {
  server = await startOwnTestServer();
  testDatabase = await createTestDatabase();
});
afterAll(async () => {
  await testDatabase.drop();
  await server.stop();
});

beforeEach(async () => {
  database = new Database({ database: { appUrl: testDatabase.appUrl } } as Runtime);
  readiness = new Readiness();
  wakeUps = silentWakeUps();
  reader = new ChangeReader(database, wakeUps, pino({ level: 'silent' }), readiness, new Metrics());
  seen = [];
  gaps = 0;
  reader.subscribe((changes) => seen.push(...changes.map((change) => change.resourceId)));
  reader.onGap(() => {
    gaps += 1;
  });
  await reader.onApplicationBootstrap();
});
afterEach(async () => {
  await reader.beforeApplicationShutdown();
  await Promise.all(writers.splice(0).map((writer) => writer.end()));
  await database.onApplicationShutdown();
});

/** Wake-ups that come only when the test wants one. */
function silentWakeUps(): typeof wakeUps {
  const listeners = new Set<() => void>();
  return {
    announced: 0,
    announce() {
      this.announced += 1;
      for (const listener of listeners) listener();
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    start: async () => {},
    close: async () => {},
  };
}

/** A connection of its own: one transaction beside others. */
async function writer(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: testDatabase.appUrl });
  client.on('error', () => undefined);
  await client.connect();
  writers.push(client);
  return client;
}

const INSERT = `INSERT INTO change_feed (kind, resource_type, resource_id) SELECT 'test.changed', 'test', unnest($1::text[])`;

async function changed(...names: string[]): Promise<void> {
  await database.pool.query(INSERT, [names]);
}

describe('the reader of the change feed', () => {
  it('starts with what comes, and lets everything that was remembered be dropped', async () => {
    expect([seen, gaps, reader.isCaughtUp()]).toEqual([[], 1, true]);
    await changed('a');
    await reader.sync();
    await reader.sync();
    expect([seen, gaps]).toEqual([['a'], 1]);
  });

  it('hands over what is committed while an older transaction stays open, and that one when it commits', async () => {
    const slow = await writer();
    await slow.query('BEGIN');
    await slow.query(INSERT, [['slow']]);
    await changed('quick');
    await reader.sync();
    expect(seen).toEqual(['quick']);
    await changed('quicker');
    await reader.sync();
    await slow.query('COMMIT');
    await reader.sync();
    await reader.sync();
    expect(seen).toEqual(['quick', 'quicker', 'slow']);
  });

  it('never shows what was rolled back', async () => {
    const undone = await writer();
    await undone.query('BEGIN');
    await undone.query(INSERT, [['undone']]);
    await reader.sync();
    await undone.query('ROLLBACK');
    await reader.sync();
    expect(seen).toEqual([]);
  });

  it('reads a burst in pages, each change once, with commits of both ages in between', async () => {
    const old = await writer();
    await old.query('BEGIN');
    await old.query(INSERT, [['old']]);
    await reader.sync();
    const names = Array.from({ length: 12_001 }, (_, nth) => `n${nth}`);
    await database.pool.query(INSERT, [names]);
    await old.query('COMMIT');
    await reader.sync();
    await reader.sync();
    expect(seen).toEqual(['old', ...names]);
  });

  it('loses and doubles nothing while many write at once', async () => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => writer()));
    const names: string[] = [];
    let isWriting = true;
    const reading = (async () => {
      while (isWriting) await reader.sync();
    })();
    await Promise.all(
      clients.map(async (client, who) => {
        for (let nth = 0; nth < 40; nth += 1) {
          const name = `${who}-${nth}`;
          await client.query('BEGIN');
          await client.query(INSERT, [[name]]);
          if (nth % 3 !== 0) await client.query('SELECT 1');
          await client.query(nth % 7 === 0 ? 'ROLLBACK' : 'COMMIT');
          if (nth % 7 !== 0) names.push(name);
        }
      }),
    );
    isWriting = false;
    await reading;
    await reader.sync();
    expect(seen.sort()).toEqual(names.sort());
  });

  it('starts anew when its connections break, since the server may be another one', async () => {
    const admin = await writer();
    await database.pool.query('SELECT 1');
    const lost = new Promise((resolve) => database.pool.once('error', resolve));
    await admin.query(
      `SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity AS a
        WHERE a.datname = current_database() AND a.application_name = 'fabric'`,
    );
    await lost;
    await reader.sync();
    expect(gaps).toBe(2);
    await changed('after');
    await reader.sync();
    expect(seen).toEqual(['after']);
  });

  it('says that it has lost the feed, to the readiness too, and comes back', async () => {
    const admin = await writer();
    const real = database.query.bind(database);
    database.query = () => Promise.reject(new Error('no'));
    await reader.sync();
    expect(reader.isCaughtUp()).toBe(false);
    expect((await readiness.look()).parts.feed?.ok).toBe(false);
    await admin.query(INSERT, [['meanwhile']]);
    database.query = real;
    await reader.sync();
    expect([reader.isCaughtUp(), seen, gaps]).toEqual([true, ['meanwhile'], 1]);
  });

  it('goes on when a listener throws', async () => {
    reader.subscribe(() => {
      throw new Error('a bad listener');
    });
    const later: string[] = [];
    reader.subscribe((changes) => later.push(...changes.map((change) => change.resourceId)));
    await changed('a');
    await reader.sync();
    expect([seen, later]).toEqual([['a'], ['a']]);
  });
});

describe('the sequencer', () => {
  const sequencers: Sequencer[] = [];
  afterEach(async () => {
    await Promise.all(sequencers.splice(0).map((sequencer) => sequencer.beforeApplicationShutdown()));
  });

  function sequencer(write: (line: string) => void = () => {}): Sequencer {
    const made = new Sequencer(database, reader, wakeUps, pino({ level: 'warn' }, { write }), new Metrics());
    sequencers.push(made);
    return made;
  }

  interface Placed {
    position: string | null;
    xid: string;
    id: string;
  }
  async function places(): Promise<Placed[]> {
    const { rows } = await database.pool.query<Placed>(
      'SELECT f.position::text, f.xid::text, f.id::text FROM change_feed AS f ORDER BY f.xid, f.id',
    );
    return rows;
  }

  it('holds back everything that is not below the oldest open transaction', async () => {
    const one = sequencer();
    await one.sync();
    const before = (await places()).length;
    const open = await writer();
    await open.query('BEGIN');
    await open.query(INSERT, [['slow']]);
    await changed('quick');
    await one.sync();
    expect((await places()).slice(before).map((row) => row.position)).toEqual([null]);
    await open.query('COMMIT');
    await one.sync();
    const after = (await places()).slice(before);
    expect(after.map((row) => Number(row.position))).toEqual([before + 1, before + 2]);
  });

  it('numbers densely and in order while several number at once and many write', async () => {
    const complaints: string[] = [];
    const instances = Array.from({ length: 6 }, () => sequencer((line) => complaints.push(line)));
    const clients = await Promise.all(Array.from({ length: 6 }, () => writer()));
    let isWriting = true;
    const numbering = instances.map(async (instance) => {
      while (isWriting) await instance.sync();
    });
    await Promise.all(
      clients.map(async (client) => {
        for (let nth = 0; nth < 30; nth += 1) {
          await client.query('BEGIN');
          await client.query(INSERT, [['x', 'y']]);
          await client.query('SELECT 1');
          await client.query('COMMIT');
        }
      }),
    );
    isWriting = false;
    await Promise.all(numbering);
    for (const instance of instances) await instance.sync();
    const positions = (await places()).map((row) => Number(row.position));
    expect(positions).toEqual(positions.map((_, index) => index + 1));
    expect(complaints).toEqual([]);
  });

  it('announces what it has placed, and is quiet when there is nothing', async () => {
    const one = sequencer();
    await one.sync();
    const before = wakeUps.announced;
    await changed('a');
    await one.sync();
    await one.sync();
    expect(wakeUps.announced).toBe(before + 1);
  });
});
