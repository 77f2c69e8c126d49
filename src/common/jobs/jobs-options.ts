import type { JobLog, JobOutcome } from './job-definition.js';

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

/** What holds where the options name nothing else. */
export const DEFAULT_TIMING: JobsTiming = {
  retryMs: 1_000,
  upkeepMs: 60_000,
  idleMs: 5_000,
  enqueueMs: 2_000,
  closeMs: 20_000,
};
