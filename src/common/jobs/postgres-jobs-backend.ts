import { createPostgresBackend, withBackend } from 'bullmq';
import pg from 'pg';
import { surviveBreak } from '../database/survive-break.js';
import { within } from '../waiting/waiting.js';
import { migrateJobsSchema } from './bullmq-schema.js';
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

const { Queue, Worker } = withBackend(createPostgresBackend);

/** Connections for enqueueing, claiming and finishing, beside the one that each worker keeps for LISTEN. */
const SHARED_CONNECTIONS = 4;

/** Milliseconds that connections in use get at the end. */
const HAND_BACK_MS = 500;

/** Queues in the database itself: nothing to run beside Postgres. One pool per process. */
export class PostgresJobsBackend implements JobsBackend {
  readonly name = 'postgres';
  private readonly pool: pg.Pool;
  private readonly clients = new Set<pg.PoolClient>();

  /** @param options.directUrl a URL that reaches Postgres itself: LISTEN does not pass a transaction pooler */
  constructor(
    options: { directUrl: string; workers: number },
    private readonly onError: BackendErrorListener,
  ) {
    this.pool = new pg.Pool({
      connectionString: withSearchPath(options.directUrl),
      max: options.workers + SHARED_CONNECTIONS,
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
      application_name: 'fabric-jobs',
    });
    // Each queue and worker adds a listener to the one pool.
    this.pool.setMaxListeners(0);
    this.pool.on('error', onError);
    this.pool.on('connect', surviveBreak);
    this.pool.on('connect', (client) => this.clients.add(client));
    this.pool.on('remove', (client) => this.clients.delete(client));
  }

  async prepare(): Promise<void> {
    await migrateJobsSchema(this.pool);
  }

  openQueue(queue: string): JobQueue {
    const opened = new Queue<JobData, void>(queue, { connection: this.pool, ...QUEUE_OPTIONS });
    opened.on('error', this.onError);
    return opened;
  }

  openWorker({ queue, concurrency, idleMs, process }: JobWorkerOptions): JobWorker {
    const connection = this.pool;
    const opened = new Worker<JobData, void>(queue, process, {
      connection,
      concurrency,
      drainDelay: idleMs / 1_000,
      ...WORKER_OPTIONS,
    });
    opened.on('error', this.onError);
    return opened;
  }

  async ping(): Promise<void> {
    await this.pool.query('SELECT 1');
  }

  /** Postgres is the source of truth: when it comes back it has forgotten nothing. */
  onReturn(): void {}

  async close(): Promise<void> {
    const ended = this.pool.end();
    try {
      await within(HAND_BACK_MS, 'handing back the connections', ended);
    } catch {
      // A worker that did not finish in time still listens on its own.
      for (const client of this.clients) client.connection.stream.destroy();
    }
  }
}

/** Set in the start packet, so that it holds from a session's first statement on. */
function withSearchPath(directUrl: string): string {
  const url = new URL(directUrl);
  const given = url.searchParams.get('options');
  const searchPath = '-c search_path=public,bullmq';
  url.searchParams.set('options', given === null ? searchPath : `${given} ${searchPath}`);
  return url.href;
}
