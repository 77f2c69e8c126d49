import { Injectable } from '@nestjs/common';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import type { Tx } from '../../common/transaction/tx.js';
import { TakeoverHolds } from './takeover-holds.js';
import { newHolder, type RaisedTerm, type TermCause, termRaised } from './term.js';
import { TermsRepository } from './terms.repository.js';

/** Raises terms without being asked. An operator's transition is another way, and the only one to more authority. */
@Injectable()
export class TermsService {
  constructor(
    private readonly terms: TermsRepository,
    private readonly holds: TakeoverHolds,
  ) {}

  /**
   * Raises the term of each cluster by one, in whatever state it is, and holds takeovers where that is wanted.
   * @returns what was raised, with an event for each
   */
  async raise(
    tx: Tx,
    clusterIds: readonly string[] | 'all',
    { cause, reason, holds = true }: { cause: TermCause; reason: string; holds?: boolean },
  ): Promise<{ raised: RaisedTerm[]; events: AuditEvent[] }> {
    const locked = await this.terms.lock(tx, clusterIds);
    const raised = await this.terms.raise(tx, locked, newHolder());
    if (holds) await this.holds.begin(tx, locked, cause);
    // The term stands in every snapshot.
    for (const clusterId of locked) tx.touch(clusterId, 'shared');
    return { raised, events: raised.map((term) => termRaised(term, cause, reason)) };
  }
}
