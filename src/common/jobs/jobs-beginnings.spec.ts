import { describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { asRole, JobStage, Recorder } from '../../../test/support/job-stage.js';
import { hasRedis } from '../../../test/support/redis.js';
import { APP_ROLE } from '../database/embedded/fabric-roles.js';

const stage = new JobStage();

/** An empty schema for BullMQ, as the migration makes it. */
async function makeSchema(): Promise<void> {
  await asRole(
    stage.database.ownerUrl,
    `DROP SCHEMA IF EXISTS bullmq CASCADE;
     CREATE SCHEMA bullmq;
     GRANT USAGE, CREATE ON SCHEMA bullmq TO ${APP_ROLE}`,
  );
}

describe('jobs on postgres, from nothing', () => {
  it('makes its tables once when several processes start at the same time, with a plain role', async () => {
    await makeSchema();
    const ran = new Recorder<string | null>();
    const definition = { queue: stage.queue, name: 'expire', run: async (id: string | null) => ran.add(id) };
    const started = await Promise.all([1, 2, 3].map(() => stage.given('postgres', [definition])));
    await started[0]?.jobs.enqueue(stage.queue, 'expire', 'a');
    await ran.reached(1);
    expect(started.flatMap(({ log }) => log.map(({ message }) => message))).toEqual(
      Array(3).fill('jobs: ready'),
    );
    const [count] = await asRole(
      stage.database.appUrl,
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
    await stage.redis?.stop();
    const { jobs, lost, log } = await stage.given('redis', [
      { queue: stage.queue, name: 'expire', run: async (id) => ran.add(id) },
      { queue: stage.queue, name: 'sweep', everySeconds: 0.5, run: async (id) => ticks.add(id) },
    ]);
    expect(await jobs.health()).toMatchObject({ ok: false });
    await jobs.enqueue(stage.queue, 'expire', 'lost');
    expect(lost.seen).toEqual([`${stage.queue}/expire`]);
    await stage.redis?.restart();
    await ticks.reached(1);
    await jobs.enqueue(stage.queue, 'expire', 'a');
    await ran.reached(1);
    expect(ran.seen).toEqual(['a']);
    expect(log.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });

  it('closes while redis is down', async () => {
    const { jobs } = await stage.given('redis', [
      { queue: stage.queue, name: 'expire', run: async () => {} },
    ]);
    await stage.redis?.kill();
    await jobs.close();
    await stage.redis?.restart();
    expect(await jobs.health()).toMatchObject({ ok: false });
  });

  it('registers its sweeps again after redis has lost everything without a broken connection', async () => {
    const ticks = new Recorder<string | null>();
    await stage.given('redis', [
      { queue: stage.queue, name: 'sweep', everySeconds: 0.5, run: async (id) => ticks.add(id) },
    ]);
    await ticks.reached(1);
    const admin = new Redis(stage.redis?.url ?? '');
    await admin.flushall();
    admin.disconnect();
    const before = ticks.seen.length;
    await ticks.reached(before + 2);
  });
});
