import { Injectable } from '@nestjs/common';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { GRACE_SECONDS, type HoldCause, LONGEST_LEASE_SECONDS } from './term.js';
import { TermsRepository } from './terms.repository.js';

/** The longest lease in seconds that may be out, by cluster; a cluster that is left out has none. */
export type LongestLeases = (tx: ReadTx) => Promise<ReadonlyMap<string, number>>;

/**
 * Holds takeovers: while a hold lasts, what somebody owned stays with them or with nobody. After a term was raised an
 * owner that this database has forgotten may still be at work until the end of its lease, hence for the longest lease
 * that the contract knows and some grace: how long that lease was, the database may have forgotten too. A mass lapse has
 * lost nothing, so that the longest lease that may be out is known. `AuthorityReadModel` says until when.
 */
@Injectable()
export class TakeoverHolds {
  private longestLeases: LongestLeases | null = null;

  constructor(private readonly terms: TermsRepository) {}

  /**
   * Sets who knows the longest lease, so that the hold of a mass lapse lasts no longer than it has to; at the start, by
   * the module that gives leases. Without it, and above what the contract allows, that is the contract's longest lease.
   */
  boundBy(longestLeases: LongestLeases): void {
    this.longestLeases = longestLeases;
  }

  /** Begins a hold in each cluster, or prolongs the one that is there. Locks the authorities' rows. */
  async begin(tx: Tx, clusterIds: readonly string[], cause: HoldCause): Promise<void> {
    if (clusterIds.length === 0) return;
    const leases = cause === 'mass_lapse' ? await this.longestLeases?.(tx) : undefined;
    const seconds = clusterIds.map((id): [string, number] => {
      const longest = leases === undefined ? LONGEST_LEASE_SECONDS : (leases.get(id) ?? 0);
      return [id, Math.min(longest, LONGEST_LEASE_SECONDS) + GRACE_SECONDS];
    });
    await this.terms.hold(tx, new Map(seconds), cause);
  }
}
