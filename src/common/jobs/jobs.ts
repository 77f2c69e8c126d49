import { backOffMs, pause, within } from '../waiting/waiting.js';
import { Complaints } from './complaints.js';
import type { JobDefinition } from './job-definition.js';
import { JobRunner } from './job-runner.js';
import type { JobQueue, JobsBackend, JobWorker } from './jobs-backend.js';
import { DEFAULT_TIMING, type JobsOptionsOfProcess, type JobsTiming } from './jobs-options.js';
import { jobOfNudge, jobOptions, type Nudge } from './nudge.js';
import { PostgresJobsBackend } from './postgres-jobs-backend.js';
import { RedisJobsBackend } from './redis-jobs-backend.js';
import { sweepPhaseMs } from './sweep-phase.js';

/** Milliseconds for opening one queue or worker, for a ping, and for the connections' end. */
const BACKEND_MS = 10_000;
const PING_MS = 2_000;
const BACKEND_CLOSE_MS = 3_000;

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
  private readonly runner: JobRunner;
  private readonly complaints: Complaints;
  private backend: JobsBackend | null = null;
  private opened: Opened | null = null;
  private opening: Promise<void> = Promise.resolve();
  private closed: Promise<void> | null = null;
  private upkeep: NodeJS.Timeout | undefined;

  constructor(private readonly options: JobsOptionsOfProcess) {
    this.timing = { ...DEFAULT_TIMING, ...options.timing };
    this.complaints = new Complaints(options.logger);
    const find = (queue: string, name: string) => this.definitions.get(queue)?.get(name);
    const removeSweep = async (queue: string, key: string) =>
      this.opened?.queues.get(queue)?.removeJobScheduler(key);
    this.runner = new JobRunner({ find, removeSweep }, options);
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
    const onError = (error: Error) => this.complaints.add(error);
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
      .map((nudge) => jobOfNudge(name, nudge, this.timing.retryMs))
      .sort((one, other) => (one.opts.deduplication.id < other.opts.deduplication.id ? -1 : 1));
    const [first] = jobs;
    if (first === undefined) return;
    try {
      const opened = this.opened?.queues.get(queue);
      if (opened === undefined) throw this.complaints.last ?? new Error('The jobs are not started.');
      const adding: Promise<unknown> =
        jobs.length === 1 ? opened.add(name, first.data, first.opts) : opened.addBulk(jobs);
      await within(this.timing.enqueueMs, 'enqueueing', adding);
    } catch (error) {
      for (const _ of jobs) this.options.onLost?.(queue, name);
      this.complaints.add(asError(error), { queue, job: name, ids: jobs.map(({ data }) => data.id) });
    }
  }

  /** Runs a handler here and now, without a queue: for tests and the command line. @throws what it throws */
  async runNow(queue: string, name: string, id: string | null = null): Promise<void> {
    await this.runner.run(this.get(queue, name), id);
  }

  /** Whether nudges can be handed over and, in a worker, are taken. */
  async health(): Promise<{ ok: boolean; detail?: string }> {
    if (this.backend === null || this.opened === null) {
      return { ok: false, detail: this.complaints.last?.message ?? 'not started' };
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
    this.complaints.silence();
    clearInterval(this.upkeep);
    // An attempt to open that hangs is given up: ending the connections below fails it.
    await within(PING_MS, 'opening', this.opening).catch(() => undefined);
    await this.closeOpened();
    const ending = this.backend?.close() ?? Promise.resolve();
    await within(BACKEND_CLOSE_MS, 'ending the connections', ending).catch((error) =>
      this.complaints.add(asError(error)),
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
        this.complaints.add(asError(error));
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
      const process = this.runner.process.bind(this.runner, name);
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
        const every = Math.max(1, Math.round(job.everySeconds * 1_000));
        const template = { name: job.name, data: {}, opts: jobOptions(this.timing.retryMs) };
        const offset = sweepPhaseMs(name, job.name, every);
        const registering = queue.upsertJobScheduler(job.name, { every, offset }, template);
        await within(BACKEND_MS, `registering the sweep ${name}/${job.name}`, registering);
      }
    }
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
    const ending = isThere ? closeWorkers() : this.runner.drained().then(closeWorkers);
    await within(this.timing.closeMs, 'finishing the running jobs', ending).catch(() => {
      const { unfinished } = this.runner;
      this.options.logger.warn(
        { unfinished },
        'jobs: closed before all jobs had finished; others take them over',
      );
    });
    await Promise.allSettled([...opened.queues.values()].map((queue) => queue.close()));
  }
}

function asError(value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value));
}
