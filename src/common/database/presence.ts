import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { RUNTIME, type Runtime } from '../config/runtime.js';
import { Database } from './database.js';
import { sql } from './sql.js';

/** Between two signs of one instance. */
const EVERY_MS = 5_000;
/** Several instances give one sign together. */
const DUE_SECONDS = 3;
/** Without a sign for this long nobody listened: three that one instance alone missed. */
export const ABSENT_SECONDS = 15;

/**
 * Gives signs that somebody listens to nodes, as long as a process does that is there for them. Whoever would count a node as silent reads
 * `service_presence`: its silence began no earlier than the presence, since before it there was nobody to speak to.
 */
@Injectable()
export class Presence implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private timer: NodeJS.Timeout | undefined;
  private signing: Promise<void> | null = null;

  constructor(
    private readonly database: Database,
    @Inject(RUNTIME) private readonly runtime: Runtime,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    const { role, listens } = this.runtime.config;
    if (role === 'worker' || !listens) return;
    await this.sign();
    this.timer = setInterval(() => void this.sign(), EVERY_MS).unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.signing;
  }

  /** Never throws: without the database no heartbeat is taken either. */
  sign(): Promise<void> {
    this.signing ??= this.database
      .query(sql`
        WITH due AS (
          SELECT p.singleton, n.now FROM service_presence AS p CROSS JOIN (SELECT fabric_now() AS now) AS n
           WHERE p.present_at < n.now - make_interval(secs => ${DUE_SECONDS}) FOR UPDATE OF p SKIP LOCKED)
        UPDATE service_presence AS p
           SET present_since = CASE WHEN p.present_at < d.now - make_interval(secs => ${ABSENT_SECONDS})
                                    THEN d.now ELSE p.present_since END, present_at = d.now
          FROM due AS d WHERE p.singleton = d.singleton`)
      .then(
        () => undefined,
        () => undefined,
      )
      .finally(() => {
        this.signing = null;
      });
    return this.signing;
  }
}
