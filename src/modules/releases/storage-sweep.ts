import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { Database } from '../../common/database/database.js';
import { sql } from '../../common/database/sql.js';
import { Jobs } from '../../common/jobs/jobs.js';
import { systemActor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { ArtifactSpool } from './artifact-spool.js';
import { ARTIFACT_STORE, type ArtifactStore } from './artifact-store.js';
import { ArtifactsRepository } from './artifacts.repository.js';

const EVERY_SECONDS = 3_600;
/** How long after its claim an object that nothing names is left alone: far longer than any upload takes. */
const PATIENCE_MS = 86_400_000;
const BATCH = 200;

/**
 * Removes what uploads that died have left: files that never became whole, and objects whose upload was not written down
 * in the end. Nothing depends on when this runs, or on how many run it.
 */
@Injectable()
export class StorageSweep implements OnModuleInit {
  constructor(
    private readonly jobs: Jobs,
    private readonly database: Database,
    private readonly transactor: Transactor,
    private readonly artifacts: ArtifactsRepository,
    private readonly spool: ArtifactSpool,
    @Inject(ARTIFACT_STORE) private readonly store: ArtifactStore,
  ) {}

  async onModuleInit(): Promise<void> {
    this.jobs.define({
      queue: 'maintenance',
      name: 'artifact-sweep',
      everySeconds: EVERY_SECONDS,
      run: () => this.run(),
    });
    // An instance that takes uploads and runs no jobs has files of its own, if its disk is.
    await this.spool.sweep();
  }

  async run(): Promise<void> {
    await this.spool.sweep();
    const [row] = await this.database.query<{ now: Date }>(sql`SELECT now() AS now`);
    if (row === undefined) throw new Error('the database did not tell the time');
    const before = new Date(row.now.getTime() - PATIENCE_MS);
    for (const sha256 of await this.artifacts.unused(before, BATCH)) await this.remove(sha256, before);
  }

  /**
   * The bytes go while the row is locked: whoever claims the content meanwhile waits, and brings it again. When the bytes
   * are gone and the row stays, by a crash in between, the next sweep or upload makes that good.
   */
  private async remove(sha256: string, before: Date): Promise<void> {
    await this.transactor.observe(systemActor('artifact-sweep'), async (tx) => {
      if (await this.artifacts.forget(tx, sha256, before)) await this.store.remove(sha256);
      return { result: undefined };
    });
  }
}
