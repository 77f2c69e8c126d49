import {
  type BeforeApplicationShutdown,
  type DynamicModule,
  Global,
  Inject,
  Injectable,
  Module,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { APP_FILTER, APP_INTERCEPTOR } from '@nestjs/core';
import type { Logger } from 'pino';
import { Authenticators } from './auth/authenticators.js';
import { ChangeReader } from './changes/change-reader.js';
import { EventStreams } from './changes/event-streams.js';
import { EventsController } from './changes/events.controller.js';
import { FeedRetention } from './changes/feed-retention.js';
import { OrderedFeed } from './changes/ordered-feed.js';
import { Sequencer } from './changes/sequencer.js';
import { WAKE_UPS } from './changes/tokens.js';
import type { WakeUps } from './changes/wake-up.js';
import { postgresWakeUps } from './changes/wake-up-postgres.js';
import { redisWakeUps } from './changes/wake-up-redis.js';
import { RUNTIME, type Runtime } from './config/runtime.js';
import { MasterKeyring } from './crypto/envelope.js';
import { Database } from './database/database.js';
import { DatabaseClock } from './database/database-clock.js';
import { Presence } from './database/presence.js';
import { RecordedTime } from './database/recorded-time.js';
import { sql } from './database/sql.js';
import { AllowedMethods } from './http/allowed-methods.js';
import { EarlyAnswers } from './http/early-answers.js';
import { IdempotencyStore } from './http/idempotency-store.js';
import { KeyedCalls } from './http/keyed-calls.js';
import { Paging } from './http/paging.js';
import { ProblemFilter } from './http/problem.filter.js';
import { ProblemsController } from './http/problems.controller.js';
import { RateLimits } from './http/rate-limits.js';
import { RequestPipeline } from './http/request-pipeline.js';
import { ServiceAddress } from './http/service-address.js';
import { WellKnownController } from './http/well-known.controller.js';
import { createJobs } from './jobs/create-jobs.js';
import { Jobs } from './jobs/jobs.js';
import { HealthController } from './observability/health.controller.js';
import { createLogger, LOGGER } from './observability/logger.js';
import { Metrics } from './observability/metrics.js';
import { Readiness } from './observability/readiness.js';
import { UnknownMembers } from './observability/unknown-members.js';
import { SnapshotSources } from './snapshots/snapshot-sources.js';
import { LockConflicts } from './transaction/lock-conflicts.js';
import { Transactor } from './transaction/transactor.js';
import { TxEvents } from './transaction/tx-events.js';

/** Starts what runs in the background once every module has said what it wants, and stops it before the pools. */
@Injectable()
class Background implements OnApplicationBootstrap, BeforeApplicationShutdown {
  constructor(
    private readonly jobs: Jobs,
    @Inject(WAKE_UPS) private readonly wakeUps: WakeUps,
    private readonly readiness: Readiness,
    private readonly database: Database,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    this.readiness.add('database', async () => {
      await this.database.query(sql`SELECT 1`);
      return { ok: true };
    });
    this.readiness.add('jobs', () => this.jobs.health());
    await Promise.all([this.wakeUps.start(), this.jobs.start()]);
  }

  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all([this.wakeUps.close(), this.jobs.close()]);
  }
}

const shared = [
  DatabaseClock,
  Authenticators,
  ChangeReader,
  Database,
  AllowedMethods,
  EarlyAnswers,
  IdempotencyStore,
  KeyedCalls,
  Paging,
  RateLimits,
  ServiceAddress,
  Metrics,
  Readiness,
  OrderedFeed,
  UnknownMembers,
  LockConflicts,
  Transactor,
  SnapshotSources,
  TxEvents,
];

/** What every module may use; knows none of them. */
@Global()
@Module({})
export class CommonModule {
  static forRuntime(runtime: Runtime): DynamicModule {
    const { redisUrl } = runtime.config;
    const { directUrl } = runtime.database;
    return {
      module: CommonModule,
      controllers: [EventsController, HealthController, ProblemsController, WellKnownController],
      providers: [
        { provide: RUNTIME, useValue: runtime },
        { provide: LOGGER, useFactory: () => createLogger(runtime.config.logLevel) },
        {
          provide: MasterKeyring,
          useFactory: () => new MasterKeyring(runtime.masterKey, runtime.config.masterKeyPrevious),
        },
        {
          provide: WAKE_UPS,
          inject: [LOGGER],
          useFactory: (logger: Logger) =>
            redisUrl === null ? postgresWakeUps({ directUrl, logger }) : redisWakeUps({ redisUrl, logger }),
        },
        {
          provide: Jobs,
          inject: [LOGGER, Metrics],
          useFactory: (logger: Logger, metrics: Metrics) => createJobs(runtime, logger, metrics),
        },
        ...shared,
        EventStreams,
        FeedRetention,
        Presence,
        RecordedTime,
        Sequencer,
        Background,
        { provide: APP_FILTER, useClass: ProblemFilter },
        { provide: APP_INTERCEPTOR, useClass: RequestPipeline },
      ],
      exports: [RUNTIME, LOGGER, MasterKeyring, WAKE_UPS, Jobs, EventStreams, ...shared],
    };
  }
}
