import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleInit,
} from '@nestjs/common';
import type { Logger } from 'pino';
import { ChangeReader } from '../../common/changes/change-reader.js';
import { Nudged } from '../../common/changes/nudged.js';
import { jumpPositions } from '../../common/changes/other-server.sql.js';
import { Database } from '../../common/database/database.js';
import {
  compareServers,
  judgeServer,
  rememberServer,
  type ServerIdentity,
} from '../../common/database/server-identity.js';
import { sql } from '../../common/database/sql.js';
import { Jobs } from '../../common/jobs/jobs.js';
import { LOGGER } from '../../common/observability/logger.js';
import { systemActor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import type { TermCause } from './term.js';
import { TermsService } from './terms.service.js';

const EVERY_SECONDS = 30;

/**
 * Notices that the database is another server than the one it was: a promoted standby or a restored copy, which may
 * have lost what was committed last. Then every cluster gets a new term and takeovers are held, before anything is
 * granted: until this has happened `fabric_server_is_known()` is false, and whoever would grant refuses. Looks at the
 * start, whenever the feed finds itself on another server, and every so often by a worker.
 */
@Injectable()
export class ServerWatch implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly looking = new Nudged(() => this.look());
  private isReadable = true;
  private unsubscribe = () => {};

  constructor(
    private readonly database: Database,
    private readonly transactor: Transactor,
    private readonly terms: TermsService,
    private readonly changes: ChangeReader,
    private readonly jobs: Jobs,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onModuleInit(): void {
    const job = { queue: 'maintenance', name: 'server', everySeconds: EVERY_SECONDS };
    this.jobs.define({ ...job, run: () => this.check() });
    this.unsubscribe = this.changes.onGap(() => this.looking.nudge());
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.check();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.unsubscribe();
    await this.looking.close();
  }

  /** Looks now; resolves when that is done, or has failed and is left to the next look. */
  check(): Promise<void> {
    this.looking.nudge();
    return this.looking.settled();
  }

  private async look(): Promise<void> {
    try {
      const { remembered, seen } = await compareServers((statement) => this.database.query(statement));
      this.noteReadability(seen);
      if (judgeServer(remembered, seen) === 'same') return;
      await this.transactor.observe(systemActor('server-watch'), async (tx) => this.take(tx));
    } catch (error) {
      this.logger.warn({ err: error }, 'server: cannot be compared with the one that is remembered');
    }
  }

  /** Others that start now wait for the row, and then find the server known. */
  private async take(tx: Tx) {
    // Many clusters take longer than a request may.
    await tx.query(sql`
      SELECT set_config('statement_timeout', '0', true) AS s, set_config('lock_timeout', '60s', true) AS l`);
    const { remembered, seen } = await compareServers((statement) => tx.query(statement), { lock: true });
    const verdict = judgeServer(remembered, seen);
    if (verdict === 'same') return { result: undefined };
    await rememberServer(tx, seen);
    if (verdict === 'first' || verdict === 'identified') return { result: undefined };
    await jumpPositions(tx);
    const cause: TermCause = verdict === 'restored' ? 'restore' : 'promotion';
    const { events } = await this.terms.raise(tx, 'all', { cause, reason: reasonOf(remembered, seen) });
    tx.afterCommit(() =>
      this.logger.error(
        { remembered, seen, clusters: events.length },
        'server: another one, terms were raised',
      ),
    );
    return { result: undefined, events };
  }

  /** Without the identifier a restore into another server shows only where the timeline is another too. */
  private noteReadability({ systemIdentifier }: ServerIdentity): void {
    const isReadable = systemIdentifier !== null;
    if (isReadable === this.isReadable) return;
    this.isReadable = isReadable;
    if (!isReadable)
      this.logger.warn(
        'server: this role may not call pg_control_system(), so that a restore into another server can stay unseen; GRANT EXECUTE ON FUNCTION pg_control_system() mends that',
      );
  }
}

function reasonOf(remembered: ServerIdentity, seen: ServerIdentity): string {
  const name = (server: ServerIdentity) =>
    `${server.systemIdentifier ?? 'unknown'} on timeline ${server.timelineId}`;
  return `The database is ${name(seen)}; it was ${name(remembered)}.`;
}
