import { performance } from 'node:perf_hooks';
import { SpanKind, type SpanOptions } from '@opentelemetry/api';
import type { Job, JobsOptions } from 'bullmq';
import { inSpan } from '../observability/spans.js';
import { backOffMs, pause, within } from '../waiting/waiting.js';
import type { JobDefinition, JobLog, JobOutcome } from './job-definition.js';
import type { JobData, JobQueue, JobsBackend, JobWorker } from './jobs-backend.js';
import { PostgresJobsBackend } from './postgres-jobs-backend.js';
import { RedisJobsBackend } from './redis-jobs-backend.js';

/** How the jobs of one process run. */
export interface JobsOptionsOfProcess {
  /** Queues live in Redis; without it, in Postgres. */
  redisUrl?: string;
  /** Reaches Postgres itself, not through a transaction pooler. */
  directUrl: string;
  logger: JobLog;
  /** False in a process that only hands jobs to others. */
  runsWorkers: boolean;
  /** Called after each run of a handler. */
  onOutcome?(queue: string, name: string, outcome: JobOutcome, seconds: number): void;
  /** Called for each nudge that could not be handed over; a sweep will find what it was about. */
  onLost?(queue: string, name: string): void;
  timing?: Partial<JobsTiming>;
}

/** Milliseconds, each with its reason. */
export interface JobsTiming {
  /** Before a failed job's second try; it doubles with each further one. */
  retryMs: number;
  /** Between two looks whether the sweeps are still registered: Redis may have lost them. */
  upkeepMs: number;
  /** Between two looks of an idle worker into its queue: it is told of jobs, but a message may get lost. */
  idleMs: number;
  /** What a request may lose to a queue that does not answer. */
  enqueueMs: number;
  /** What running jobs get at shutdown; below the 30 s after which orchestrators kill. */
  closeMs: number;
}

const TIMING: JobsTiming = {
  retryMs: 1_000,
  upkeepMs: 60_000,
  idleMs: 5_000,
  enqueueMs: 2_000,
  closeMs: 20_000,
};

/** Runs of one nudge, the first included; a sweep is there for what fails longer. */
const ATTEMPTS = 4;

/** Milliseconds for opening one queue or worker, for a ping, and for the connections' end. */
const BACKEND_MS = 10_000;
const PING_MS = 2_000;
const BACKEND_CLOSE_MS = 3_000;

/** Errors of the backend are logged at most this often: while it is away each worker reports one many times a second. */
const COMPLAINT_MS = 10_000;

/** One run that is asked for: of the job with this id, soon or after `delayMs`. */
export interface Nudge {
  id: string;
  delayMs?: number;
}

interface Opened {
  queues: Map<string, JobQueue>;
  workers: JobWorker[];
}

/**
 * Jobs that nudge: define them all, start, enqueue. Nothing here is a fact: a nudge may be lost, doubled or late,
 * and losing the whole backend only makes work later, because the sweeps of the defined jobs come back by themselves.
 */
export class Jobs {
  private readonly definitions = new Map<string, Map<string, JobDefinition>>();
  private readonly timing: JobsTiming;
  private readonly closing = new AbortController();
  private readonly running = new Set<Promise<void>>();
  private backend: JobsBackend | null = null;
  private opened: Opened | null = null;
  private opening: Promise<void> = Promise.resolve();
  private closed: Promise<void> | null = null;
  private upkeep: NodeJS.Timeout | undefined;
  private lastError: Error | null = null;
  private complainedAt = Number.NEGATIVE_INFINITY;
  private suppressed = 0;

  constructor(private readonly options: JobsOptionsOfProcess) {
    this.timing = { ...TIMING, ...options.timing };
  }

  /** Makes a kind of work known. Before `start`, in every process: also one that only enqueues. @throws on a double */
  define(job: JobDefinition): void {
    if (this.backend !== null) throw new Error(`Job ${job.queue}/${job.name} is defined after the start.`);
    const queue = this.definitions.get(job.queue) ?? new Map<string, JobDefinition>();
    if (queue.has(job.name)) throw new Error(`Job ${job.queue}/${job.name} is defined twice.`);
    this.definitions.set(job.queue, queue.set(job.name, job));
  }

  /** Resolves after the first attempt to open the backend, even a failed one: it is repeated in the background. */
  async start(): Promise<void> {
    const { redisUrl, directUrl, runsWorkers } = this.options;
    const workers = runsWorkers ? this.definitions.size : 0;
    const onError = (error: Error) => this.complain(error);
    const backend =
      redisUrl === undefined
        ? new PostgresJobsBackend({ directUrl, workers }, onError)
        : new RedisJobsBackend(redisUrl, onError);
    this.backend = backend;
    await new Promise<void>((resolve) => {
      this.opening = this.openUntilItWorks(backend, resolve);
    });
    if (this.closing.signal.aborted || !runsWorkers) return;
    const registerSweeps = () => void this.registerSweeps().catch(onError);
    backend.onReturn(registerSweeps);
    this.upkeep = setInterval(registerSweeps, this.timing.upkeepMs).unref();
  }

  /**
   * Asks for a run of the job with `id`, soon or after `delayMs`. Call it after the commit. One that still waits for
   * the same id takes this one up (a delayed one moves to the new time); one that is running is followed by another.
   * Never fails because of the backend: then the nudge is lost, counted and logged.
   * @throws when no such job is defined, which is a bug
   */
  enqueue(queue: string, name: string, id: string, options: { delayMs?: number } = {}): Promise<void> {
    return this.enqueueAll(queue, name, [{ id, ...options }]);
  }

  /** The same for many at once, which costs the backend one call. @throws when no such job is defined, which is a bug */
  async enqueueAll(queue: string, name: string, nudges: readonly Nudge[]): Promise<void> {
    this.get(queue, name);
    // In one order, since the backend locks each id: two that come together must not wait for each other.
    const jobs = nudges
      .map((nudge) => this.jobOf(name, nudge))
      .sort((one, other) => (one.opts.deduplication.id < other.opts.deduplication.id ? -1 : 1));
    const [first] = jobs;
    if (first === undefined) return;
    try {
      const opened = this.opened?.queues.get(queue);
      if (opened === undefined) throw this.lastError ?? new Error('The jobs are not started.');
      const adding: Promise<unknown> =
        jobs.length === 1 ? opened.add(name, first.data, first.opts) : opened.addBulk(jobs);
      await within(this.timing.enqueueMs, 'enqueueing', adding);
    } catch (error) {
      for (const _ of jobs) this.options.onLost?.(queue, name);
      this.complain(asError(error), { queue, job: name, ids: jobs.map(({ data }) => data.id) });
    }
  }

  /** Runs a handler here and now, without a queue: for tests and the command line. @throws what it throws */
  async runNow(queue: string, name: string, id: string | null = null): Promise<void> {
    await this.measured(this.get(queue, name), id);
  }

  /** Whether nudges can be handed over and, in a worker, are taken. */
  async health(): Promise<{ ok: boolean; detail?: string }> {
    if (this.backend === null || this.opened === null) {
      return { ok: false, detail: this.lastError?.message ?? 'not started' };
    }
    if (!this.opened.workers.every((worker) => worker.isRunning()))
      return { ok: false, detail: 'a worker has stopped' };
    try {
      await within(PING_MS, this.backend.name, this.backend.ping());
      return { ok: true };
    } catch (error) {
      return { ok: false, detail: asError(error).message };
    }
  }

  /** Takes no more jobs, lets the running ones finish for a while, ends all connections. */
  close(): Promise<void> {
    this.closed ??= this.closeOnce();
    return this.closed;
  }

  private async closeOnce(): Promise<void> {
    this.closing.abort();
    clearInterval(this.upkeep);
    // An attempt to open that hangs is given up: ending the connections below fails it.
    await within(PING_MS, 'opening', this.opening).catch(() => undefined);
    await this.closeOpened();
    const ending = this.backend?.close() ?? Promise.resolve();
    await within(BACKEND_CLOSE_MS, 'ending the connections', ending).catch((error) =>
      this.complain(asError(error)),
    );
  }

  private async openUntilItWorks(backend: JobsBackend, tried: () => void): Promise<void> {
    for (let attempt = 1; !this.closing.signal.aborted; attempt += 1) {
      try {
        await this.open(backend);
        const queues = [...this.definitions.keys()];
        this.options.logger.info({ backend: backend.name, queues, attempt }, 'jobs: ready');
        break;
      } catch (error) {
        this.lastError = asError(error);
        this.complain(this.lastError);
        await this.closeOpened();
      }
      tried();
      await pause(backOffMs(attempt, 5_000), this.closing.signal);
    }
    tried();
  }

  /** A queue or worker that BullMQ could not make ready stays so for ever; then all are closed and made anew. */
  private async open(backend: JobsBackend): Promise<void> {
    await within(BACKEND_MS, `connecting to ${backend.name}`, backend.prepare());
    const opened: Opened = { queues: new Map(), workers: [] };
    this.opened = opened;
    for (const [name, jobs] of this.definitions) {
      const queue = backend.openQueue(name);
      opened.queues.set(name, queue);
      await within(BACKEND_MS, `opening queue ${name}`, queue.waitUntilReady());
      if (!this.options.runsWorkers) continue;
      const concurrency = Math.max(...[...jobs.values()].map((job) => job.concurrency ?? 1));
      const { idleMs } = this.timing;
      const process = (job: Job<JobData, void, string>) =>
        inSpan(`process ${name}/${job.name}`, spanOf(name, job), () => this.process(name, job));
      const worker = backend.openWorker({ queue: name, concurrency, idleMs, process });
      opened.workers.push(worker);
      await within(BACKEND_MS, `opening the worker of ${name}`, worker.waitUntilReady());
    }
    await this.registerSweeps();
  }

  /** Idempotent, and harmless in many processes at once: a sweep keeps its place in time. */
  private async registerSweeps(): Promise<void> {
    if (!this.options.runsWorkers || this.opened === null || this.closing.signal.aborted) return;
    for (const [name, queue] of this.opened.queues) {
      for (const job of this.definitions.get(name)?.values() ?? []) {
        if (job.everySeconds === undefined) continue;
        // The offset ties the ticks to the clock: processes that register first at the same time mean the same tick.
        const every = Math.max(1, Math.round(job.everySeconds * 1_000));
        const template = { name: job.name, data: {}, opts: this.jobOptions() };
        const registering = queue.upsertJobScheduler(job.name, { every, offset: 1 }, template);
        await within(BACKEND_MS, `registering the sweep ${name}/${job.name}`, registering);
      }
    }
  }

  private async process(queue: string, job: Job<JobData, void, string>): Promise<void> {
    const definition = this.definitions.get(queue)?.get(job.name);
    if (definition === undefined) {
      await this.forget(queue, job);
      return;
    }
    const run = this.measured(definition, job.data.id ?? null);
    const settled = run.catch(() => undefined);
    this.running.add(settled);
    try {
      await run;
    } catch (error) {
      const attempt = job.attemptsMade + 1;
      const isLast = attempt >= (job.opts.attempts ?? 1);
      const details = { err: error, queue, job: job.name, id: job.data.id ?? null, attempt };
      if (isLast) this.options.logger.error(details, 'jobs: a job failed and is dropped');
      else this.options.logger.warn(details, 'jobs: a job failed and will be tried again');
      throw error;
    } finally {
      this.running.delete(settled);
    }
  }

  /** A job of another version of the service. A sweep is taken off: a process that knows it registers it again. */
  private async forget(queue: string, job: Job<JobData, void, string>): Promise<void> {
    this.options.logger.warn({ queue, job: job.name }, 'jobs: a job that is not known here');
    if (job.repeatJobKey === undefined) throw new Error(`No job ${queue}/${job.name} is defined here.`);
    await this.opened?.queues.get(queue)?.removeJobScheduler(job.repeatJobKey);
  }

  private async measured(job: JobDefinition, id: string | null): Promise<void> {
    const startedAt = performance.now();
    let outcome: JobOutcome = 'failed';
    try {
      await job.run(id);
      outcome = 'completed';
    } finally {
      this.options.onOutcome?.(job.queue, job.name, outcome, (performance.now() - startedAt) / 1_000);
    }
  }

  private jobOf(name: string, { id, delayMs = 0 }: Nudge) {
    const isLater = delayMs > 0;
    const deduplication = isLater
      ? { id: `${name}/${id}/later`, keepLastIfActive: true, reschedule: true }
      : { id: `${name}/${id}`, keepLastIfActive: true };
    const delay = isLater ? { delay: delayMs } : {};
    return { name, data: { id }, opts: { ...this.jobOptions(), ...delay, deduplication } };
  }

  /** Nothing is kept of a job that has ended: what happened stands in Postgres, in the log and in the metrics. */
  private jobOptions(): JobsOptions {
    const backoff = { type: 'exponential', delay: this.timing.retryMs, jitter: 0.5 };
    return { attempts: ATTEMPTS, backoff, removeOnComplete: true, removeOnFail: true };
  }

  private get(queue: string, name: string): JobDefinition {
    const job = this.definitions.get(queue)?.get(name);
    if (job === undefined) throw new Error(`No job ${queue}/${name} is defined.`);
    return job;
  }

  private async closeOpened(): Promise<void> {
    const { opened, backend } = this;
    this.opened = null;
    if (opened === null || backend === null) return;
    // Takes no more from here on; `true`: without waiting for the running ones yet.
    await Promise.all(opened.workers.map((worker) => worker.pause(true)));
    // BullMQ waits for ever to hand back a job to a datastore that is away; then only the handlers are waited for.
    const isThere = await within(PING_MS, backend.name, backend.ping()).then(
      () => true,
      () => false,
    );
    const closeWorkers = () => Promise.allSettled(opened.workers.map((worker) => worker.close(!isThere)));
    const ending = isThere ? closeWorkers() : this.drained().then(closeWorkers);
    await within(this.timing.closeMs, 'finishing the running jobs', ending).catch(() => {
      const unfinished = this.running.size;
      this.options.logger.warn(
        { unfinished },
        'jobs: closed before all jobs had finished; others take them over',
      );
    });
    await Promise.allSettled([...opened.queues.values()].map((queue) => queue.close()));
  }

  private async drained(): Promise<void> {
    while (this.running.size > 0) await Promise.all(this.running);
  }

  private complain(error: Error, details: object = {}): void {
    this.lastError = error;
    if (this.closing.signal.aborted) return;
    const now = performance.now();
    if (now - this.complainedAt < COMPLAINT_MS) {
      this.suppressed += 1;
      return;
    }
    const { suppressed } = this;
    this.complainedAt = now;
    this.suppressed = 0;
    this.options.logger.warn({ err: error, suppressed, ...details }, 'jobs: the backend has a problem');
  }
}

/** A run is a trace of its own: a nudge may stand for many requests. By the semantic conventions for messaging. */
function spanOf(queue: string, job: Job<JobData, void, string>): SpanOptions {
  const attributes = {
    'messaging.system': 'bullmq',
    'messaging.operation.type': 'process',
    'messaging.operation.name': 'process',
    'messaging.destination.name': queue,
    'messaging.message.id': job.id,
    'fabric.job': job.name,
    'fabric.job_attempt': job.attemptsMade + 1,
  };
  return { kind: SpanKind.CONSUMER, root: true, attributes };
}

function asError(value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value));
}
