import { Redis, type RedisOptions } from 'ioredis';
import { backOffMs } from '../waiting/waiting.js';
import {
  TransportedWakeUps,
  type WakeUpOptions,
  type WakeUpReceiver,
  type WakeUps,
  type WakeUpTransport,
} from './wake-up.js';

const CHANNEL = 'fabric:changes';

/** Milliseconds that one attempt to connect may take, and the longest pause between two attempts. */
const CONNECT_TIMEOUT_MS = 5_000;
const LONGEST_PAUSE_MS = 5_000;

/** Wake-ups through Redis pub/sub: takes the load of notifying from Postgres. */
export function redisWakeUps(options: { redisUrl: string } & WakeUpOptions): WakeUps {
  return new TransportedWakeUps(new RedisWakeUpTransport(options.redisUrl), options);
}

/** Two connections, since one that is subscribed may not publish. */
class RedisWakeUpTransport implements WakeUpTransport {
  private clients: { subscriber: Redis; publisher: Redis } | null = null;

  constructor(private readonly redisUrl: string) {}

  async start(receiver: WakeUpReceiver): Promise<void> {
    const options: RedisOptions = {
      connectTimeout: CONNECT_TIMEOUT_MS,
      // A message that cannot go out now is not worth keeping: the tick is faster.
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      // Subscribed below on each connection, so that `connected` is told only after it.
      autoResubscribe: false,
      // A connection that is ended while it is lost would keep the process alive for 2 s by default.
      disconnectTimeout: 200,
      retryStrategy: (attempt) => backOffMs(attempt, LONGEST_PAUSE_MS),
    };
    const publisher = new Redis(this.redisUrl, options);
    const subscriber = new Redis(this.redisUrl, options);
    this.clients = { subscriber, publisher };
    publisher.on('error', (error) => receiver.failed(error));
    subscriber.on('error', (error) => receiver.failed(error));
    subscriber.on('close', () => receiver.failed(new Error('The wake-up connection has closed.')));
    subscriber.on('message', (_channel, sender) => receiver.received(sender));
    await new Promise<void>((tried) => {
      subscriber.on('ready', () => {
        subscriber
          .subscribe(CHANNEL)
          .then(() => receiver.connected())
          .catch((error: Error) => receiver.failed(error))
          .finally(tried);
      });
      subscriber.once('close', tried);
    });
  }

  async publish(sender: string): Promise<void> {
    if (this.clients === null) throw new Error('The wake-ups are not started.');
    await this.clients.publisher.publish(CHANNEL, sender);
  }

  async close(): Promise<void> {
    this.clients?.subscriber.disconnect();
    this.clients?.publisher.disconnect();
    this.clients = null;
  }
}
