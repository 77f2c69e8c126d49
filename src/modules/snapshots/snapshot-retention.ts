import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { RUNTIME, type Runtime } from '../../common/config/runtime.js';
import { Database } from '../../common/database/database.js';
import { sql } from '../../common/database/sql.js';
import { Jobs } from '../../common/jobs/jobs.js';
import { GenerationUngrouper } from './generation-ungrouper.js';
import { KeptGenerationsRepository } from './kept-generations.repository.js';

const DAY_MS = 86_400_000;
const EVERY_SECONDS = 6 * 3_600;
/** Rows a statement, so that none holds locks for long. */
const BATCH_ROWS = 5_000;
/**
 * How much longer than a generation its sections are left alone. Their last use is marked once a day and taken for
 * granted for half a day more, so it may be told a day and a half too early; the rest is for clocks and slow statements.
 */
const SECTION_GRACE_MS = 3 * DAY_MS;

/**
 * Removes generations that are too old to be asked for: those that had a successor at the horizon already. What was in
 * force at any time since then stays, however old it is. Nothing depends on when this runs, or on how many run it.
 */
@Injectable()
export class SnapshotRetention implements OnModuleInit {
  constructor(
    private readonly jobs: Jobs,
    private readonly kept: KeptGenerationsRepository,
    private readonly ungrouper: GenerationUngrouper,
    private readonly database: Database,
    @Inject(RUNTIME) private readonly runtime: Runtime,
  ) {}

  onModuleInit(): void {
    this.jobs.define({
      queue: 'maintenance',
      name: 'snapshot-retention',
      everySeconds: EVERY_SECONDS,
      run: () => this.run(),
    });
  }

  /** One pass, by one horizon: what is in force there is marked before what is unmarked goes. */
  async run(): Promise<void> {
    const [row] = await this.database.query<{ now: Date }>(sql`SELECT now() AS now`);
    if (row === undefined) throw new Error('the database did not tell the time');
    const horizon = new Date(row.now.getTime() - this.runtime.config.snapshotKeptDays * DAY_MS);
    // What stands in a group is judged once it is a row; its sections are marked either way.
    await this.ungrouper.takeLeft();
    await repeat(() => this.kept.removeOld(horizon, BATCH_ROWS));
    await this.kept.markInForce(horizon);
    const unusedSince = new Date(horizon.getTime() - SECTION_GRACE_MS);
    await repeat(() => this.kept.removeUnused(unusedSince, BATCH_ROWS));
  }
}

/** Runs `batch` until it finds less than it could take. */
async function repeat(batch: () => Promise<number>): Promise<void> {
  while ((await batch()) === BATCH_ROWS);
}
