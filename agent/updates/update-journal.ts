import { moved, type UpdateRecord, type UpdateUnderWay } from './update-record.js';
import type { UpdateState } from './update-state.js';
import type { UpdaterContext } from './updater-context.js';

/** How far the update of one product has come: durable first, then told. */
export class UpdateJournal {
  constructor(
    readonly product: string,
    private readonly context: Pick<UpdaterContext, 'records' | 'reporter' | 'log'>,
  ) {}

  get record(): UpdateRecord {
    return this.context.records.of(this.product);
  }

  /** Durable, and then told. */
  async enter(
    state: UpdateState,
    change: Partial<UpdateUnderWay> = {},
    more: (record: UpdateRecord) => UpdateRecord = (record) => record,
  ): Promise<void> {
    await this.write((record) => more(moved(record, state, change)));
    this.tell();
  }

  /** Without a report. */
  async change(change: Partial<UpdateUnderWay>): Promise<void> {
    await this.write((record) =>
      record.update === null ? record : { ...record, update: { ...record.update, ...change } },
    );
  }

  async write(change: (record: UpdateRecord) => UpdateRecord): Promise<void> {
    await this.context.records.change(this.product, change);
  }

  /** Says where the update stands now. */
  tell(): void {
    const { update } = this.record;
    if (update === null) return;
    const { state, to, from, message } = update;
    this.context.log.info('update.moved', {
      product: this.product,
      state,
      fromVersion: from?.version ?? null,
      toVersion: to.version,
      ...(message !== null && { detail: message }),
    });
    this.context.reporter.ring();
  }
}
