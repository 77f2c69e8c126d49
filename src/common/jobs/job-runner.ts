import { performance } from 'node:perf_hooks';
import { SpanKind, type SpanOptions } from '@opentelemetry/api';
import type { Job } from 'bullmq';
import { inSpan } from '../observability/spans.js';
import type { JobDefinition, JobOutcome } from './job-definition.js';
import type { JobData } from './jobs-backend.js';
import type { JobsOptionsOfProcess } from './jobs-options.js';

type QueuedJob = Job<JobData, void, string>;

/** Where a runner finds what is defined, and how it takes off what is not. */
export interface JobBook {
  find(queue: string, name: string): JobDefinition | undefined;
  removeSweep(queue: string, key: string): Promise<unknown>;
}

/** Runs the handlers of the jobs that a worker hands over, each in a trace of its own, and knows which are running. */
export class JobRunner {
  private readonly running = new Set<Promise<void>>();

  constructor(
    private readonly book: JobBook,
    private readonly options: Pick<JobsOptionsOfProcess, 'logger' | 'onOutcome'>,
  ) {}

  /** How many handlers have not ended. */
  get unfinished(): number {
    return this.running.size;
  }

  /** One job of a queue. @throws what its handler throws, so that BullMQ tries it again */
  process(queue: string, job: QueuedJob): Promise<void> {
    return inSpan(`process ${queue}/${job.name}`, spanOf(queue, job), () => this.processHere(queue, job));
  }

  /** Runs a handler and measures it. @throws what it throws */
  async run(job: JobDefinition, id: string | null): Promise<void> {
    const startedAt = performance.now();
    let outcome: JobOutcome = 'failed';
    try {
      await job.run(id);
      outcome = 'completed';
    } finally {
      this.options.onOutcome?.(job.queue, job.name, outcome, (performance.now() - startedAt) / 1_000);
    }
  }

  /** Resolves when no handler runs any more. */
  async drained(): Promise<void> {
    while (this.running.size > 0) await Promise.all(this.running);
  }

  private async processHere(queue: string, job: QueuedJob): Promise<void> {
    const definition = this.book.find(queue, job.name);
    if (definition === undefined) {
      await this.forget(queue, job);
      return;
    }
    const run = this.run(definition, job.data.id ?? null);
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
  private async forget(queue: string, job: QueuedJob): Promise<void> {
    this.options.logger.warn({ queue, job: job.name }, 'jobs: a job that is not known here');
    if (job.repeatJobKey === undefined) throw new Error(`No job ${queue}/${job.name} is defined here.`);
    await this.book.removeSweep(queue, job.repeatJobKey);
  }
}

/** A run is a trace of its own: a nudge may stand for many requests. By the semantic conventions for messaging. */
function spanOf(queue: string, job: QueuedJob): SpanOptions {
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
