import pg from 'pg';
import { backOffMs } from '../waiting/waiting.js';
import {
  TransportedWakeUps,
  type WakeUpOptions,
  type WakeUpReceiver,
  type WakeUps,
  type WakeUpTransport,
} from './wake-up.js';

const CHANNEL = 'fabric_changes';

/** Milliseconds that one attempt to connect may take, and the longest pause between two attempts. */
const CONNECT_TIMEOUT_MS = 5_000;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Wake-ups through LISTEN and NOTIFY.
 * @param options.directUrl reaches Postgres itself: LISTEN does not pass a transaction pooler
 */
export function postgresWakeUps(options: { directUrl: string } & WakeUpOptions): WakeUps {
  return new TransportedWakeUps(new PostgresWakeUpTransport(options.directUrl), options);
}

/** One session that listens, and notifies in statements of its own: never inside somebody's transaction. */
class PostgresWakeUpTransport implements WakeUpTransport {
  private receiver: WakeUpReceiver | null = null;
  private client: pg.Client | null = null;
  private retry: NodeJS.Timeout | undefined;
  private attempt = 0;
  private isClosed = false;
  /** The last notification: the next one waits for it, since a session takes one statement at a time. */
  private sending: Promise<unknown> = Promise.resolve();

  constructor(private readonly directUrl: string) {}

  async start(receiver: WakeUpReceiver): Promise<void> {
    this.receiver = receiver;
    await this.connect();
  }

  async publish(sender: string): Promise<void> {
    const { client } = this;
    if (client === null) throw new Error('The wake-up connection is down.');
    const sent = this.sending.then(() => client.query('SELECT pg_notify($1, $2)', [CHANNEL, sender]));
    this.sending = sent.catch(() => undefined);
    await sent;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.retry);
    const { client } = this;
    this.client = null;
    await client?.end().catch(() => undefined);
  }

  private async connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.directUrl,
      application_name: 'fabric-wake-ups',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      // Without it a connection that a firewall has dropped would look alive for hours.
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
    });
    let isOver = false;
    const lost = (error: Error) => {
      if (isOver) return;
      isOver = true;
      this.client = null;
      client.end().catch(() => undefined);
      this.retryLater(error);
    };
    client.on('error', lost);
    client.on('end', () => lost(new Error('The wake-up connection has ended.')));
    client.on('notification', (message) => this.receiver?.received(message.payload ?? ''));
    try {
      await client.connect();
      await client.query(`LISTEN ${CHANNEL}`);
    } catch (error) {
      lost(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (this.isClosed) {
      isOver = true;
      await client.end().catch(() => undefined);
      return;
    }
    if (isOver) return;
    this.client = client;
    this.attempt = 0;
    this.receiver?.connected();
  }

  private retryLater(error: Error): void {
    if (this.isClosed) return;
    this.receiver?.failed(error);
    this.attempt += 1;
    this.retry = setTimeout(() => void this.connect(), backOffMs(this.attempt, LONGEST_PAUSE_MS)).unref();
  }
}
