import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals';
import pg from 'pg';
import type { JobDefinition, JobLog } from '../../src/common/jobs/job-definition.js';
import { Jobs } from '../../src/common/jobs/jobs.js';
import type { JobsTiming } from '../../src/common/jobs/jobs-options.js';
import { hasRedis, startRedis, type TestRedis } from './redis.js';
import { createTestDatabase, type TestDatabase } from './test-database.js';

/** Fast where waiting would only make the suite slow; a nudge is not lost because the machine is. */
const TIMING: Partial<JobsTiming> = { retryMs: 20, upkeepMs: 250, idleMs: 250, enqueueMs: 60_000 };

export type Backend = 'postgres' | 'redis';
/** Those that this machine has. */
export const BACKENDS: readonly Backend[] = hasRedis ? ['postgres', 'redis'] : ['postgres'];

interface LogLine {
  level: 'info' | 'warn' | 'error';
  details: { job?: string; attempt?: number };
  message: string;
}

/** Events in the order in which they came, and promises of those to come. */
export class Recorder<T> {
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

/** Jobs of one process, and what they tell. */
export interface RunningJobs {
  jobs: Jobs;
  log: LogLine[];
  outcomes: Recorder<string>;
  lost: Recorder<string>;
}

/** Backends for the jobs of a test file; what a test has opened is closed with it. */
export class JobStage {
  database!: TestDatabase;
  /** Null where there is no redis-server. */
  redis: TestRedis | null = null;
  /** A queue of each test's own, since the datastores outlive a test. */
  queue = '';
  private readonly open: Jobs[] = [];
  private tests = 0;

  constructor() {
    if (!hasRedis)
      process.stdout.write('jobs: redis-server is not on PATH, its half of the suite is skipped\n');
    beforeAll(async () => {
      this.database = await createTestDatabase();
      if (hasRedis) this.redis = await startRedis();
    });
    afterAll(async () => {
      await this.redis?.stop();
      await this.database.drop();
    });
    beforeEach(() => {
      this.tests += 1;
      this.queue = `test-${this.tests}`;
    });
    afterEach(async () => {
      await Promise.all(this.open.splice(0).map((jobs) => jobs.close()));
    });
  }

  /** Jobs of one process, started unless said otherwise. */
  async given(
    backend: Backend,
    definitions: readonly JobDefinition[],
    options: { runsWorkers?: boolean; isStarted?: boolean; timing?: Partial<JobsTiming> } = {},
  ): Promise<RunningJobs> {
    const log: LogLine[] = [];
    const writer =
      (level: LogLine['level']): JobLog['info'] =>
      (details, message) =>
        log.push({ level, details, message });
    const outcomes = new Recorder<string>();
    const lost = new Recorder<string>();
    const jobs = new Jobs({
      directUrl: this.database.appUrl,
      ...(backend === 'redis' && this.redis !== null ? { redisUrl: this.redis.url } : {}),
      logger: { info: writer('info'), warn: writer('warn'), error: writer('error') },
      runsWorkers: options.runsWorkers ?? true,
      onOutcome: (queue, name, outcome) => outcomes.add(`${queue}/${name} ${outcome}`),
      onLost: (queue, name) => lost.add(`${queue}/${name}`),
      timing: { ...TIMING, ...options.timing },
    });
    this.open.push(jobs);
    for (const definition of definitions) jobs.define(definition);
    if (options.isStarted !== false) await jobs.start();
    return { jobs, log, outcomes, lost };
  }
}

/** A promise and its key. */
export function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** Does one statement on a connection of its own. */
export async function asRole(url: string, sql: string): Promise<pg.QueryResultRow[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query(sql);
  await client.end();
  return rows;
}
