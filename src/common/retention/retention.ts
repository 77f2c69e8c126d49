import type { OnModuleInit } from '@nestjs/common';
import type { Database } from '../database/database.js';
import { removeInBatches } from '../database/remove-in-batches.js';
import type { Sql } from '../database/sql.js';
import type { Jobs } from '../jobs/jobs.js';

/** Removes what is too old or too much, batch by batch, once an hour in whichever process gets to it. */
export abstract class Retention implements OnModuleInit {
  /** How often a run comes; what is removed by how much has come lately may look back for longer. */
  static readonly EVERY_SECONDS = 3_600;

  protected constructor(
    private readonly database: Database,
    private readonly jobs: Jobs,
    private readonly name: string,
    /** Each removes some rows, and says how many. */
    private readonly batches: readonly Sql[],
  ) {}

  onModuleInit(): void {
    const job = { queue: 'maintenance', name: this.name, everySeconds: Retention.EVERY_SECONDS };
    this.jobs.define({ ...job, run: () => this.run() });
  }

  /** Removes all that there is to remove. */
  async run(): Promise<void> {
    for (const batch of this.batches) await removeInBatches(this.database, batch);
  }
}
