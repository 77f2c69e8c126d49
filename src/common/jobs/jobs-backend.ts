import type { Job, Queue, Worker } from 'bullmq';

/** What a job holds: the id of the row that it is about, if any. */
export interface JobData {
  id?: string;
}

/** A BullMQ queue, as far as the jobs use it: the same on both backends. */
export type JobQueue = Pick<
  Queue<JobData, void, string>,
  'add' | 'addBulk' | 'upsertJobScheduler' | 'removeJobScheduler' | 'waitUntilReady' | 'close'
>;

/** A BullMQ worker, as far as the jobs use it: the same on both backends. */
export type JobWorker = Pick<
  Worker<JobData, void, string>,
  'waitUntilReady' | 'isRunning' | 'pause' | 'close'
>;

/** What a worker does with a job that it has claimed. */
export type JobProcessor = (job: Job<JobData, void, string>) => Promise<void>;

/** How a worker is opened. */
export interface JobWorkerOptions {
  queue: string;
  concurrency: number;
  /** Milliseconds after which an idle worker looks into its queue without having been told. */
  idleMs: number;
  process: JobProcessor;
}

/** Where queues live: one implementation per datastore, each holding its connections of this process. */
export interface JobsBackend {
  readonly name: 'postgres' | 'redis';
  /** Makes the datastore usable; may be repeated. @throws while it cannot be reached, within seconds */
  prepare(): Promise<void>;
  openQueue(queue: string): JobQueue;
  openWorker(options: JobWorkerOptions): JobWorker;
  /** @throws at once, or within seconds, when the datastore does not answer */
  ping(): Promise<void>;
  /** Calls back when the datastore is there again and may have forgotten everything. */
  onReturn(listener: () => void): void;
  /** Ends all connections, also those that are in use. Bounded. */
  close(): Promise<void>;
}

/** Told of errors in the background, which BullMQ and the drivers recover from by themselves. */
export type BackendErrorListener = (error: Error) => void;

/** Options of every worker: a job whose worker died is taken over within a minute. */
export const WORKER_OPTIONS = {
  // BullMQ waits 15 s by default before it asks a datastore again that refused it.
  runRetryDelay: 1_000,
  lockDuration: 30_000,
  stalledInterval: 30_000,
} as const;

/** Options of every queue. Nobody reads BullMQ's event stream here, so it is kept short. */
export const QUEUE_OPTIONS = { streams: { events: { maxLen: 256 } } } as const;
