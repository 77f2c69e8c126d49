import { randomUUID } from 'node:crypto';

/** Tells every instance that the change feed has news. It says only "look": what is new stands in the feed. */
export interface WakeUps {
  /** Tell all instances, this one too; call it after the commit. Never throws; calls of a few ms become one. */
  announce(): void;
  /**
   * Calls back when there may be news: after an announcement anywhere, after a reconnect, and every second, so that a
   * lost message costs a second. Listeners are therefore cheap and idempotent. Returns what ends the subscription.
   */
  subscribe(listener: () => void): () => void;
  /** Resolves after the first attempt to connect, even a failed one: it is repeated in the background. */
  start(): Promise<void>;
  close(): Promise<void>;
}

/** The part of a logger that wake-ups use; pino fits. */
export interface WakeUpLog {
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** What both adapters take. */
export interface WakeUpOptions {
  logger: WakeUpLog;
  /** Milliseconds that a lost message may cost (default 1000). */
  tickMs?: number;
}

/** What a transport tells its owner. */
export interface WakeUpReceiver {
  /** A message came in, sent by the instance `sender`. */
  received(sender: string): void;
  /** Listening again, after a gap in which messages may have been missed. */
  connected(): void;
  /** It will recover by itself. */
  failed(error: Error): void;
}

/** Carries messages between instances; may lose them. */
export interface WakeUpTransport {
  /** Resolves after the first attempt to connect; reconnects by itself from then on. */
  start(receiver: WakeUpReceiver): Promise<void>;
  /** @throws when the message cannot be sent now */
  publish(sender: string): Promise<void>;
  close(): Promise<void>;
}

/** After a message the next one waits this many milliseconds: a burst of commits is one or two pieces of news. */
const REST_MS = 5;

/** Milliseconds that a lost message may cost. */
const TICK_MS = 1_000;

/** Wake-ups over any transport: coalescing, the local echo, the tick. */
export class TransportedWakeUps implements WakeUps {
  /** Names this instance in its messages, so that it ignores its own: it has told its listeners already. */
  private readonly self = randomUUID();
  private readonly listeners = new Set<() => void>();
  private resting: NodeJS.Timeout | undefined;
  private isWanted = false;
  private tick: NodeJS.Timeout | undefined;
  private isFailing = false;
  private isClosed = false;

  constructor(
    private readonly transport: WakeUpTransport,
    private readonly options: WakeUpOptions,
  ) {}

  announce(): void {
    if (this.isClosed) return;
    if (this.resting === undefined) this.tell();
    else this.isWanted = true;
  }

  subscribe(listener: () => void): () => void {
    // Wrapped, so that the same function subscribed twice is two subscriptions.
    const entry = () => listener();
    this.listeners.add(entry);
    return () => {
      this.listeners.delete(entry);
    };
  }

  async start(): Promise<void> {
    this.tick = setInterval(() => this.fire(), this.options.tickMs ?? TICK_MS).unref();
    await this.transport.start({
      received: (sender) => {
        if (sender !== this.self) this.fire();
      },
      connected: () => {
        this.isFailing = false;
        this.fire();
      },
      failed: (error) => this.failed(error),
    });
  }

  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.resting);
    clearInterval(this.tick);
    this.listeners.clear();
    await this.transport.close();
  }

  private tell(): void {
    this.isWanted = false;
    this.resting = setTimeout(() => {
      this.resting = undefined;
      if (this.isWanted) this.tell();
    }, REST_MS).unref();
    this.fire();
    this.transport.publish(this.self).catch((error: unknown) => this.failed(error));
  }

  private fire(): void {
    for (const listener of this.listeners) {
      try {
        listener();
      } catch (error) {
        this.options.logger.error({ err: error }, 'wake-ups: a listener failed');
      }
    }
  }

  /** Logged once per outage: the tick goes on, so nothing is lost but a second. */
  private failed(error: unknown): void {
    if (this.isFailing || this.isClosed) return;
    this.isFailing = true;
    this.options.logger.warn(
      { err: error },
      'wake-ups: instances do not hear each other, the feed is polled',
    );
  }
}
