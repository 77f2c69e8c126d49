import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import pg from 'pg';
import { hasRedis, startRedis, type TestRedis } from '../../../test/support/redis.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/test-database.js';
import { APP_ROLE } from '../database/embedded/fabric-roles.js';
import type { JobDefinition, JobLog } from './job-definition.js';
import { Jobs, type JobsTiming } from './jobs.js';

/** Fast where waiting would only make the suite slow. */
const TIMING: Partial<JobsTiming> = { retryMs: 20, upkeepMs: 250, idleMs: 250 };

interface LogLine {
  level: 'info' | 'warn' | 'error';
  details: { job?: string; attempt?: number };
  message: string;
}

/** Events in the order in which they came, and promises of those to come. */
class Recorder<T> {
  readonly seen: T[] = [];
  private waiting: { isDue: () => boolean; resolve: () => void }[] = [];

  readonly add = (event: T): void => {
    this.seen.push(event);
    for (const { resolve } of this.waiting.filter(({ isDue }) => isDue())) resolve();
    this.waiting = this.waiting.filter(({ isDue }) => !isDue());
  };

  /** Resolves when `count` events have been seen since the beginning. */
  reached(count: number): Promise<void> {
    return this.until(() => this.seen.length >= count);
  }

  /** Resolves when `event` has been seen since the beginning. */
  saw(event: T): Promise<void> {
    return this.until(() => this.seen.includes(event));
  }

  private until(isDue: () => boolean): Promise<void> {
    if (isDue()) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push({ isDue, resolve }));
  }
}

interface Given {
  jobs: Jobs;
  log: LogLine[];
  outcomes: Recorder<string>;
  lost: Recorder<string>;
}

let database: TestDatabase;
let redis: TestRedis | null = null;
const open: Jobs[] = [];

const backends = hasRedis ? (['postgres', 'redis'] as const) : (['postgres'] as const);
if (!hasRedis) process.stdout.write('jobs: redis-server is not on PATH, its half of the suite is skipped\n');

beforeAll(async () => {
  database = await createTestDatabase();
  if (hasRedis) redis = await startRedis();
});

afterAll(async () => {
  await redis?.stop();
  await database.drop();
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((jobs) => jobs.close()));
});

/** Jobs of one process, started unless said otherwise. */
async function given(
  backend: 'postgres' | 'redis',
  definitions: JobDefinition[],
  options: { runsWorkers?: boolean; isStarted?: boolean; timing?: Partial<JobsTiming> } = {},
): Promise<Given> {
  const log: LogLine[] = [];
  const writer =
    (level: LogLine['level']): JobLog['info'] =>
    (details, message) =>
      log.push({ level, details, message });
  const outcomes = new Recorder<string>();
  const lost = new Recorder<string>();
  const jobs = new Jobs({
    directUrl: database.appUrl,
    ...(backend === 'redis' && redis !== null ? { redisUrl: redis.url } : {}),
    logger: { info: writer('info'), warn: writer('warn'), error: writer('error') },
    runsWorkers: options.runsWorkers ?? true,
    onOutcome: (queue, name, outcome) => outcomes.add(`${queue}/${name} ${outcome}`),
    onLost: (queue, name) => lost.add(`${queue}/${name}`),
    timing: { ...TIMING, ...options.timing },
  });
  open.push(jobs);
  for (const definition of definitions) jobs.define(definition);
  if (options.isStarted !== false) await jobs.start();
  return { jobs, log, outcomes, lost };
}

/** A promise and its key. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** A queue of each test's own, since the datastores outlive a test. */
let queue = '';
let number = 0;
beforeEach(() => {
  number += 1;
  queue = `test-${number}`;
});

/** An empty schema for BullMQ, as the migration makes it. */
async function makeSchema(): Promise<void> {
  await asRole(
    database.ownerUrl,
    `DROP SCHEMA IF EXISTS bullmq CASCADE;
     CREATE SCHEMA bullmq;
     GRANT USAGE, CREATE ON SCHEMA bullmq TO ${APP_ROLE}`,
  );
}

/** Ends the connections of the jobs, as a restarted Postgres does. */
async function cutAllConnections(): Promise<void> {
  await asRole(
    database.appUrl,
    `SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity AS a
      WHERE a.datname = current_database() AND a.usename = current_user AND a.pid <> pg_backend_pid()`,
  );
}

async function asRole(url: string, sql: string): Promise<pg.QueryResultRow[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query(sql);
  await client.end();
  return rows;
}

describe.each(backends)('jobs on %s', (backend) => {
  it('runs a job with its id in a process that runs workers, wherever it was enqueued', async () => {
    const ran = new Recorder<string | null>();
    const definition = { queue, name: 'expire', run: async (id: string | null) => ran.add(id) };
    const worker = await given(backend, [definition]);
    const api = await given(backend, [definition], { runsWorkers: false });
    await api.jobs.enqueue(queue, 'expire', 'a');
    await worker.outcomes.reached(1);
    expect(ran.seen).toEqual(['a']);
    expect(worker.outcomes.seen).toEqual([`${queue}/expire completed`]);
    expect(api.outcomes.seen).toEqual([]);
    expect(await worker.jobs.health()).toEqual({ ok: true });
    expect(await api.jobs.health()).toEqual({ ok: true });
  });

  it('runs an id once that is enqueued many times while it waits', async () => {
    const ran = new Recorder<string | null>();
    const held = gate();
    const first = gate();
    const run = async (id: string | null) => {
      if (id === 'blocker') {
        first.open();
        await held.opened;
      }
      ran.add(id);
    };
    const { jobs } = await given(backend, [{ queue, name: 'expire', run }]);
    await jobs.enqueue(queue, 'expire', 'blocker');
    await first.opened;
    await Promise.all([1, 2, 3].map(() => jobs.enqueue(queue, 'expire', 'a')));
    await jobs.enqueue(queue, 'expire', 'last');
    held.open();
    await ran.reached(3);
    expect(ran.seen).toEqual(['blocker', 'a', 'last']);
  });

  it('runs an id again that is enqueued while it runs, since that run may have read too early', async () => {
    const ran = new Recorder<string | null>();
    const held = gate();
    const first = gate();
    const run = async (id: string | null) => {
      ran.add(id);
      first.open();
      await held.opened;
    };
    const { jobs, outcomes } = await given(backend, [{ queue, name: 'expire', run }]);
    await jobs.enqueue(queue, 'expire', 'a');
    await first.opened;
    await Promise.all([1, 2, 3].map(() => jobs.enqueue(queue, 'expire', 'a')));
    held.open();
    await outcomes.reached(2);
    await jobs.enqueue(queue, 'expire', 'last');
    await ran.reached(3);
    expect(ran.seen).toEqual(['a', 'a', 'last']);
  });

  it('runs a delayed job, moved to the latest time asked for, and is not in the way of one that is due', async () => {
    const ran = new Recorder<string | null>();
    const { jobs } = await given(backend, [{ queue, name: 'expire', run: async (id) => ran.add(id) }]);
    await jobs.enqueue(queue, 'expire', 'a', { delayMs: 3_600_000 });
    await jobs.enqueue(queue, 'expire', 'a');
    await ran.reached(1);
    await jobs.enqueue(queue, 'expire', 'a', { delayMs: 100 });
    await ran.reached(2);
    expect(ran.seen).toEqual(['a', 'a']);
  });

  it('runs a sweep in one of several processes per tick', async () => {
    const ticks = new Recorder<string | null>();
    const definition = {
      queue,
      name: 'sweep',
      everySeconds: 0.5,
      run: async (id: string | null) => ticks.add(id),
    };
    const startedAt = Date.now();
    await Promise.all([
      given(backend, [definition]),
      given(backend, [definition]),
      given(backend, [definition]),
    ]);
    await ticks.reached(4);
    const ticksOfTheClock = Math.floor((Date.now() - 1) / 500) - Math.floor((startedAt - 1) / 500);
    expect(ticks.seen.length).toBeLessThanOrEqual(ticksOfTheClock);
    expect(new Set(ticks.seen)).toEqual(new Set([null]));
  });

  it('tries a failing job again a few times, then drops and logs it', async () => {
    const attempts = new Recorder<string | null>();
    const run = async (id: string | null) => {
      attempts.add(id);
      if (id === 'a') throw new Error('no luck');
    };
    const { jobs, log, outcomes } = await given(backend, [{ queue, name: 'expire', run }]);
    await jobs.enqueue(queue, 'expire', 'a');
    await outcomes.reached(4);
    // Dropped means that nothing stands in the way of the same id later.
    await jobs.enqueue(queue, 'expire', 'b');
    await outcomes.reached(5);
    await jobs.enqueue(queue, 'expire', 'a');
    await outcomes.reached(6);
    expect(attempts.seen).toEqual(['a', 'a', 'a', 'a', 'b', 'a']);
    const lines = log.filter(({ details }) => details.job === 'expire').slice(0, 4);
    expect(lines.map(({ level, details }) => `${level} ${details.attempt}`)).toEqual([
      'warn 1',
      'warn 2',
      'warn 3',
      'error 4',
    ]);
  });

  it('lets the running job finish when it closes, and takes no other', async () => {
    const events: string[] = [];
    const held = gate();
    const first = gate();
    const run = async (id: string | null) => {
      first.open();
      await held.opened;
      events.push(`ran ${id}`);
    };
    const { jobs } = await given(backend, [{ queue, name: 'expire', run }]);
    await jobs.enqueue(queue, 'expire', 'a');
    await jobs.enqueue(queue, 'expire', 'b');
    await first.opened;
    const closing = jobs.close().then(() => events.push('closed'));
    held.open();
    await closing;
    expect(events).toEqual(['ran a', 'closed']);
    expect(await jobs.health()).toMatchObject({ ok: false });
  });

  it('does not wait for a running job for ever', async () => {
    const held = gate();
    const first = gate();
    const run = async () => {
      first.open();
      await held.opened;
    };
    const { jobs, log } = await given(backend, [{ queue, name: 'expire', run }], { timing: { closeMs: 50 } });
    await jobs.enqueue(queue, 'expire', 'a');
    await first.opened;
    await jobs.close();
    held.open();
    expect(log.map(({ message }) => message)).toContain(
      'jobs: closed before all jobs had finished; others take them over',
    );
  });

  it('goes on after the backend was gone, with jobs and with sweeps, and never fails who enqueues', async () => {
    const ran = new Recorder<string | null>();
    const ticks = new Recorder<string | null>();
    const definitions: JobDefinition[] = [
      { queue, name: 'expire', run: async (id) => ran.add(id) },
      { queue, name: 'sweep', everySeconds: 0.5, run: async (id) => ticks.add(id) },
    ];
    const { jobs, lost } = await given(backend, definitions);
    await jobs.enqueue(queue, 'expire', 'before');
    await ran.reached(1);
    if (backend === 'redis') {
      await redis?.kill();
      await jobs.enqueue(queue, 'expire', 'meanwhile');
      expect(lost.seen).toEqual([`${queue}/expire`]);
      expect((await jobs.health()).ok).toBe(false);
      await redis?.restart();
    } else {
      await cutAllConnections();
    }
    const ticksBefore = ticks.seen.length;
    await ticks.reached(ticksBefore + 2);
    await jobs.enqueue(queue, 'expire', 'after');
    await ran.saw('after');
    expect(ran.seen).not.toContain('meanwhile');
    expect(await jobs.health()).toEqual({ ok: true });
  });

  it('refuses what is not defined, and defines nothing twice or late', async () => {
    const definition = { queue, name: 'expire', run: async () => {} };
    const { jobs } = await given(backend, [definition], { isStarted: false });
    expect(() => jobs.define(definition)).toThrow('defined twice');
    await jobs.start();
    expect(() => jobs.define({ ...definition, name: 'other' })).toThrow('after the start');
    await expect(jobs.enqueue(queue, 'other', 'a')).rejects.toThrow('No job');
  });
});

describe('jobs on postgres, from nothing', () => {
  it('makes its tables once when several processes start at the same time, with a plain role', async () => {
    await makeSchema();
    const ran = new Recorder<string | null>();
    const definition = { queue, name: 'expire', run: async (id: string | null) => ran.add(id) };
    const started = await Promise.all([1, 2, 3].map(() => given('postgres', [definition])));
    await started[0]?.jobs.enqueue(queue, 'expire', 'a');
    await ran.reached(1);
    expect(started.flatMap(({ log }) => log.map(({ message }) => message))).toEqual(
      Array(3).fill('jobs: ready'),
    );
    const [count] = await asRole(
      database.appUrl,
      'SELECT count(*)::int AS migrations, count(DISTINCT m.version)::int AS versions FROM bullmq.migration AS m',
    );
    expect(count?.migrations).toBeGreaterThan(0);
    expect(count?.migrations).toBe(count?.versions);
  });
});

(hasRedis ? describe : describe.skip)('jobs on a redis that forgets', () => {
  it('starts while redis is down, and works when it is there', async () => {
    const ran = new Recorder<string | null>();
    const ticks = new Recorder<string | null>();
    await redis?.stop();
    const { jobs, lost, log } = await given('redis', [
      { queue, name: 'expire', run: async (id) => ran.add(id) },
      { queue, name: 'sweep', everySeconds: 0.5, run: async (id) => ticks.add(id) },
    ]);
    expect(await jobs.health()).toMatchObject({ ok: false });
    await jobs.enqueue(queue, 'expire', 'lost');
    expect(lost.seen).toEqual([`${queue}/expire`]);
    await redis?.restart();
    await ticks.reached(1);
    await jobs.enqueue(queue, 'expire', 'a');
    await ran.reached(1);
    expect(ran.seen).toEqual(['a']);
    expect(log.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });

  it('closes while redis is down', async () => {
    const { jobs } = await given('redis', [{ queue, name: 'expire', run: async () => {} }]);
    await redis?.kill();
    await jobs.close();
    await redis?.restart();
    expect(await jobs.health()).toMatchObject({ ok: false });
  });

  it('registers its sweeps again after redis has lost everything without a broken connection', async () => {
    const ticks = new Recorder<string | null>();
    await given('redis', [{ queue, name: 'sweep', everySeconds: 0.5, run: async (id) => ticks.add(id) }]);
    await ticks.reached(1);
    const admin = new Redis(redis?.url ?? '');
    await admin.flushall();
    admin.disconnect();
    const before = ticks.seen.length;
    await ticks.reached(before + 2);
  });
});

describe('jobs without a backend', () => {
  it('runs a handler directly and passes its error on', async () => {
    const run = async (id: string | null) => {
      if (id === null) throw new Error('no id');
    };
    const { jobs, outcomes } = await given('postgres', [{ queue, name: 'expire', run }], {
      isStarted: false,
    });
    await jobs.runNow(queue, 'expire', 'a');
    await expect(jobs.runNow(queue, 'expire')).rejects.toThrow('no id');
    expect(outcomes.seen).toEqual([`${queue}/expire completed`, `${queue}/expire failed`]);
  });

  it('loses a nudge quietly before the start', async () => {
    const { jobs, lost } = await given('postgres', [{ queue, name: 'expire', run: async () => {} }], {
      isStarted: false,
    });
    await jobs.enqueue(queue, 'expire', 'a');
    expect(lost.seen).toEqual([`${queue}/expire`]);
    expect(await jobs.health()).toMatchObject({ ok: false });
  });
});
