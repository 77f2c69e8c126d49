import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import pg from 'pg';
import { hasRedis, startRedis, type TestRedis } from '../../../test/support/redis.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/test-database.js';
import type { WakeUps } from './wake-up.js';
import { postgresWakeUps } from './wake-up-postgres.js';
import { redisWakeUps } from './wake-up-redis.js';

let database: TestDatabase;
let redis: TestRedis | null = null;
const open: { close(): Promise<void> }[] = [];
const warnings: string[] = [];

const backends = hasRedis ? (['postgres', 'redis'] as const) : (['postgres'] as const);
if (!hasRedis)
  process.stdout.write('wake-ups: redis-server is not on PATH, its half of the suite is skipped\n');

beforeAll(async () => {
  database = await createTestDatabase();
  if (hasRedis) redis = await startRedis();
});

afterAll(async () => {
  await redis?.stop();
  await database.drop();
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((opened) => opened.close()));
  warnings.length = 0;
});

const logger = {
  warn: (_details: object, message: string) => void warnings.push(message),
  error: (_details: object, message: string) => void warnings.push(message),
};

/** The wake-ups of one instance, which does not tick unless asked to: what comes is a message. */
async function given(backend: 'postgres' | 'redis', tickMs = 3_600_000): Promise<WakeUps> {
  const wakeUps =
    backend === 'redis' && redis !== null
      ? redisWakeUps({ redisUrl: redis.url, logger, tickMs })
      : postgresWakeUps({ directUrl: database.appUrl, logger, tickMs });
  open.push(wakeUps);
  await wakeUps.start();
  return wakeUps;
}

/** Resolves at the next wake-up. */
function next(wakeUps: WakeUps): Promise<void> {
  return new Promise((resolve) => {
    const end = wakeUps.subscribe(() => {
      end();
      resolve();
    });
  });
}

/** Hears what goes over the wire, beside the instances: `messages` until now, and the next one. */
async function wiretap(backend: 'postgres' | 'redis') {
  const messages: string[] = [];
  let heard = () => {};
  const add = (message: string) => {
    messages.push(message);
    heard();
  };
  const message = () =>
    new Promise<void>((resolve) => {
      heard = resolve;
    });
  if (backend === 'redis') {
    const client = new Redis(redis?.url ?? '');
    await client.subscribe('fabric:changes');
    client.on('message', (_channel, payload) => add(payload));
    open.push({ close: async () => client.disconnect() });
    return { messages, message };
  }
  const client = new pg.Client({ connectionString: database.appUrl });
  await client.connect();
  client.on('notification', ({ payload }) => add(payload ?? ''));
  await client.query('LISTEN fabric_changes');
  open.push({ close: () => client.end() });
  return { messages, message };
}

async function cutAllConnections(backend: 'postgres' | 'redis'): Promise<void> {
  if (backend === 'redis') {
    const admin = new Redis(redis?.url ?? '');
    await admin.client('KILL', 'SKIPME', 'yes');
    admin.disconnect();
    return;
  }
  const admin = new pg.Client({ connectionString: database.appUrl });
  await admin.connect();
  await admin.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fabric-wake-ups'",
  );
  await admin.end();
}

describe.each(backends)('wake-ups on %s', (backend) => {
  it('reach all instances, the announcing one too', async () => {
    const [one, two] = [await given(backend), await given(backend)];
    const woken = [next(one), next(two)];
    one.announce();
    await Promise.all(woken);
  });

  it('are published once or twice for many announcements of a moment', async () => {
    const tap = await wiretap(backend);
    const [one, two] = [await given(backend), await given(backend)];
    const first = tap.message();
    for (let i = 0; i < 100; i += 1) one.announce();
    await first;
    two.announce();
    while (new Set(tap.messages).size < 2) await tap.message();
    // What was announced after the first message had gone out is another one, a few milliseconds later.
    const [sender] = tap.messages;
    expect(tap.messages.filter((message) => message === sender).length).toBeLessThanOrEqual(2);
  });

  it('come after every reconnect, and go on', async () => {
    const [one, two] = [await given(backend), await given(backend)];
    const woken = [next(one), next(two)];
    await cutAllConnections(backend);
    await Promise.all(woken);
    const again = next(two);
    // The publisher of Redis has a connection of its own, which may come back later than the listener's.
    const announcing = setInterval(() => one.announce(), 20);
    await again;
    clearInterval(announcing);
    const outage = 'wake-ups: instances do not hear each other, the feed is polled';
    expect(new Set(warnings)).toEqual(new Set([outage]));
  });

  it('survive a listener that throws, and forget one that has ended its subscription', async () => {
    const one = await given(backend);
    let calls = 0;
    const end = one.subscribe(() => {
      calls += 1;
    });
    end();
    one.subscribe(() => {
      throw new Error('a bad listener');
    });
    const woken = next(one);
    one.announce();
    await woken;
    expect(calls).toBe(0);
    expect(warnings).toContain('wake-ups: a listener failed');
  });

  it('start, tick and reach this instance while the backend is down', async () => {
    const nowhere = {
      redisUrl: 'redis://127.0.0.1:1',
      directUrl: 'postgres://nobody@127.0.0.1:1/none',
      logger,
      tickMs: 20,
    };
    const wakeUps = backend === 'redis' ? redisWakeUps(nowhere) : postgresWakeUps(nowhere);
    open.push(wakeUps);
    await wakeUps.start();
    await next(wakeUps);
    const woken = next(wakeUps);
    wakeUps.announce();
    await woken;
    expect(warnings).toEqual(['wake-ups: instances do not hear each other, the feed is polled']);
  });

  it('tick, so that a lost message costs only that', async () => {
    const wakeUps = await given(backend, 20);
    await next(wakeUps);
    await next(wakeUps);
  });
});
