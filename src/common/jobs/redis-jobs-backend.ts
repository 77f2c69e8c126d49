import { Queue, Worker } from 'bullmq';
import { Redis, type RedisOptions } from 'ioredis';
import { backOffMs } from '../waiting/waiting.js';
import {
  type BackendErrorListener,
  type JobData,
  type JobQueue,
  type JobsBackend,
  type JobWorker,
  type JobWorkerOptions,
  QUEUE_OPTIONS,
  WORKER_OPTIONS,
} from './jobs-backend.js';

/** Milliseconds that one attempt to connect may take, and the longest pause between two attempts. */
const CONNECT_TIMEOUT_MS = 5_000;
const LONGEST_PAUSE_MS = 2_000;

const SHARED_OPTIONS: RedisOptions = {
  connectTimeout: CONNECT_TIMEOUT_MS,
  // A connection that is ended while it is lost would keep the process alive for 2 s by default.
  disconnectTimeout: 200,
  retryStrategy: (attempt) => backOffMs(attempt, LONGEST_PAUSE_MS),
};

/** Queues in Redis: takes the load of enqueueing and claiming from Postgres. All of it may be lost at any time. */
export class RedisJobsBackend implements JobsBackend {
  readonly name = 'redis';
  /** Fails at once while Redis is away: a request must not wait for it. */
  private readonly producer: Redis;
  /** Waits for Redis as long as it takes; each worker adds a blocking connection of its own. */
  private readonly consumer: Redis;

  constructor(
    redisUrl: string,
    private readonly onError: BackendErrorListener,
  ) {
    this.producer = new Redis(redisUrl, {
      ...SHARED_OPTIONS,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      commandTimeout: CONNECT_TIMEOUT_MS,
    });
    this.consumer = new Redis(redisUrl, { ...SHARED_OPTIONS, maxRetriesPerRequest: null });
    for (const client of [this.producer, this.consumer]) {
      client.setMaxListeners(0);
      client.on('error', onError);
    }
  }

  async prepare(): Promise<void> {
    await Promise.all([connected(this.producer), connected(this.consumer)]);
  }

  openQueue(queue: string): JobQueue {
    const opened = new Queue<JobData, void, string>(queue, { connection: this.producer, ...QUEUE_OPTIONS });
    opened.on('error', this.onError);
    return opened;
  }

  openWorker({ queue, concurrency, idleMs, process }: JobWorkerOptions): JobWorker {
    const connection = this.consumer;
    const opened = new Worker<JobData, void, string>(queue, process, {
      connection,
      concurrency,
      drainDelay: idleMs / 1_000,
      ...WORKER_OPTIONS,
    });
    opened.on('error', this.onError);
    return opened;
  }

  async ping(): Promise<void> {
    await this.producer.ping();
  }

  onReturn(listener: () => void): void {
    this.producer.on('ready', listener);
  }

  async close(): Promise<void> {
    this.producer.disconnect();
    this.consumer.disconnect();
  }
}

/** Resolves when the client can take commands. @throws its error when this attempt to connect fails */
async function connected(client: Redis): Promise<void> {
  if (client.status === 'ready') return;
  await new Promise<void>((resolve, reject) => {
    const done = (error?: Error) => {
      client.off('ready', done);
      client.off('error', done);
      if (error === undefined) resolve();
      else reject(error);
    };
    client.once('ready', done);
    client.once('error', done);
  });
}
