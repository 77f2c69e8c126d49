import { describe, expect, it } from '@jest/globals';
import { asRole, BACKENDS, gate, JobStage, Recorder } from '../../../test/support/job-stage.js';
import { until } from '../../../test/support/until.js';
import type { JobDefinition } from './job-definition.js';
import { sweepPhaseMs } from './sweep-phase.js';

const stage = new JobStage();

/** Ends the connections of the jobs, as a restarted Postgres does. */
async function cutAllConnections(): Promise<void> {
  await asRole(
    stage.database.appUrl,
    `SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity AS a
      WHERE a.datname = current_database() AND a.usename = current_user AND a.pid <> pg_backend_pid()`,
  );
}

describe.each(BACKENDS)('jobs on %s', (backend) => {
  it('runs a job with its id in a process that runs workers, wherever it was enqueued', async () => {
    const ran = new Recorder<string | null>();
    const definition = { queue: stage.queue, name: 'expire', run: async (id: string | null) => ran.add(id) };
    const worker = await stage.given(backend, [definition]);
    const api = await stage.given(backend, [definition], { runsWorkers: false });
    await api.jobs.enqueue(stage.queue, 'expire', 'a');
    await worker.outcomes.reached(1);
    expect(ran.seen).toEqual(['a']);
    expect(worker.outcomes.seen).toEqual([`${stage.queue}/expire completed`]);
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
    const { jobs } = await stage.given(backend, [{ queue: stage.queue, name: 'expire', run }]);
    await jobs.enqueue(stage.queue, 'expire', 'blocker');
    await first.opened;
    await Promise.all([1, 2, 3].map(() => jobs.enqueue(stage.queue, 'expire', 'a')));
    await jobs.enqueue(stage.queue, 'expire', 'last');
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
    const { jobs, outcomes } = await stage.given(backend, [{ queue: stage.queue, name: 'expire', run }]);
    await jobs.enqueue(stage.queue, 'expire', 'a');
    await first.opened;
    await Promise.all([1, 2, 3].map(() => jobs.enqueue(stage.queue, 'expire', 'a')));
    held.open();
    await outcomes.reached(2);
    await jobs.enqueue(stage.queue, 'expire', 'last');
    await ran.reached(3);
    expect(ran.seen).toEqual(['a', 'a', 'last']);
  });

  it('runs a delayed job, moved to the latest time asked for, and is not in the way of one that is due', async () => {
    const ran = new Recorder<string | null>();
    const { jobs } = await stage.given(backend, [
      { queue: stage.queue, name: 'expire', run: async (id) => ran.add(id) },
    ]);
    await jobs.enqueue(stage.queue, 'expire', 'a', { delayMs: 3_600_000 });
    await jobs.enqueue(stage.queue, 'expire', 'a');
    await ran.reached(1);
    await jobs.enqueue(stage.queue, 'expire', 'a', { delayMs: 100 });
    await ran.reached(2);
    expect(ran.seen).toEqual(['a', 'a']);
  });

  it('runs a sweep in one of several processes per tick', async () => {
    const ticks = new Recorder<string | null>();
    const definition = {
      queue: stage.queue,
      name: 'sweep',
      everySeconds: 0.5,
      run: async (id: string | null) => ticks.add(id),
    };
    const startedAt = Date.now();
    await Promise.all([
      stage.given(backend, [definition]),
      stage.given(backend, [definition]),
      stage.given(backend, [definition]),
    ]);
    await ticks.reached(4);
    const phase = sweepPhaseMs(stage.queue, 'sweep', 500);
    const ticksOfTheClock = Math.floor((Date.now() - phase) / 500) - Math.floor((startedAt - phase) / 500);
    expect(ticks.seen.length).toBeLessThanOrEqual(ticksOfTheClock);
    expect(new Set(ticks.seen)).toEqual(new Set([null]));
  });

  it('tries a failing job again a few times, then drops and logs it', async () => {
    const attempts = new Recorder<string | null>();
    const run = async (id: string | null) => {
      attempts.add(id);
      if (id === 'a') throw new Error('no luck');
    };
    const { jobs, log, outcomes } = await stage.given(backend, [{ queue: stage.queue, name: 'expire', run }]);
    await jobs.enqueue(stage.queue, 'expire', 'a');
    await outcomes.reached(4);
    // Dropped means that nothing stands in the way of the same id later.
    await jobs.enqueue(stage.queue, 'expire', 'b');
    await outcomes.reached(5);
    await jobs.enqueue(stage.queue, 'expire', 'a');
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
    const { jobs } = await stage.given(backend, [{ queue: stage.queue, name: 'expire', run }]);
    await jobs.enqueue(stage.queue, 'expire', 'a');
    await jobs.enqueue(stage.queue, 'expire', 'b');
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
    const { jobs, log } = await stage.given(backend, [{ queue: stage.queue, name: 'expire', run }], {
      timing: { closeMs: 50 },
    });
    await jobs.enqueue(stage.queue, 'expire', 'a');
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
      { queue: stage.queue, name: 'expire', run: async (id) => ran.add(id) },
      { queue: stage.queue, name: 'sweep', everySeconds: 0.5, run: async (id) => ticks.add(id) },
    ];
    const { jobs, lost } = await stage.given(backend, definitions);
    await jobs.enqueue(stage.queue, 'expire', 'before');
    await ran.reached(1);
    if (backend === 'redis') {
      await stage.redis?.kill();
      await jobs.enqueue(stage.queue, 'expire', 'meanwhile');
      expect(lost.seen).toEqual([`${stage.queue}/expire`]);
      expect((await jobs.health()).ok).toBe(false);
      await stage.redis?.restart();
    } else {
      await cutAllConnections();
    }
    const ticksBefore = ticks.seen.length;
    await ticks.reached(ticksBefore + 2);
    // The connection that enqueues comes back by itself, up to two seconds after that of the worker.
    await until(
      () => jobs.health(),
      ({ ok }) => ok,
    );
    await jobs.enqueue(stage.queue, 'expire', 'after');
    await ran.saw('after');
    expect(ran.seen).not.toContain('meanwhile');
  });

  it('refuses what is not defined, and defines nothing twice or late', async () => {
    const definition = { queue: stage.queue, name: 'expire', run: async () => {} };
    const { jobs } = await stage.given(backend, [definition], { isStarted: false });
    expect(() => jobs.define(definition)).toThrow('defined twice');
    await jobs.start();
    expect(() => jobs.define({ ...definition, name: 'other' })).toThrow('after the start');
    await expect(jobs.enqueue(stage.queue, 'other', 'a')).rejects.toThrow('No job');
  });
});

describe('jobs without a backend', () => {
  it('runs a handler directly and passes its error on', async () => {
    const run = async (id: string | null) => {
      if (id === null) throw new Error('no id');
    };
    const { jobs, outcomes } = await stage.given('postgres', [{ queue: stage.queue, name: 'expire', run }], {
      isStarted: false,
    });
    await jobs.runNow(stage.queue, 'expire', 'a');
    await expect(jobs.runNow(stage.queue, 'expire')).rejects.toThrow('no id');
    expect(outcomes.seen).toEqual([`${stage.queue}/expire completed`, `${stage.queue}/expire failed`]);
  });

  it('loses a nudge quietly before the start', async () => {
    const { jobs, lost } = await stage.given(
      'postgres',
      [{ queue: stage.queue, name: 'expire', run: async () => {} }],
      {
        isStarted: false,
      },
    );
    await jobs.enqueue(stage.queue, 'expire', 'a');
    expect(lost.seen).toEqual([`${stage.queue}/expire`]);
    expect(await jobs.health()).toMatchObject({ ok: false });
  });
});
