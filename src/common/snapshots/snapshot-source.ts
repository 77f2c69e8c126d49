import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { AuditAction } from '../audit/audit-event.js';
import type { ReadTx } from '../transaction/tx.js';
import { SnapshotSources } from './snapshot-sources.js';
import type { SnapshotSubject } from './snapshot-subject.js';

/**
 * Names the event that set a value: the latest successful one about `resource`, of one of these actions, that fulfils
 * the conditions. They make it the right one where a resource has many events, and where two transactions on one row
 * committed in another order than they began: whatever stands there now, its event says so in `after`.
 */
export interface Cause {
  resource: { type: string; id: string };
  actions: readonly AuditAction[];
  /** At least one of these members differs between `before` and `after`. */
  changes?: readonly string[];
  /** `before` or `after` contains this, as jsonb contains: objects by members, arrays by items. */
  before?: object;
  after?: object;
  /** The same, and it must not. */
  notBefore?: object;
  notAfter?: object;
}

/** A part of a snapshot with what may have made it what it is. */
export interface SnapshotItem {
  /** JSON pointer into the payload. */
  pointer: string;
  /** The latest of their events counts. */
  causes: readonly Cause[];
  /** Pointers to the roles for which the node receives it; where it needs one, it is there since the first of them. */
  broughtBy?: readonly string[];
}

/**
 * What a module tells of the items that it brings into snapshots, so that each can be explained. A module that provides
 * something extends this, beside giving it to the composer; it is registered when it starts.
 *
 * The causes follow from rows as they are now; the log is looked at for all items of all modules at once. Two sources may
 * tell of one item.
 */
@Injectable()
export abstract class SnapshotSource implements OnModuleInit {
  constructor(private readonly sources: SnapshotSources) {}

  onModuleInit(): void {
    this.sources.add(this);
  }

  abstract itemsOf(tx: ReadTx, subject: SnapshotSubject): Promise<readonly SnapshotItem[]>;
}
