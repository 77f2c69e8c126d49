import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import { LOGGER } from '../../common/observability/logger.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { authorityTransitioned } from './authority-transition.js';
import { AuthorityTransitionsRepository } from './authority-transitions.repository.js';
import {
  judgeFindings,
  type KnownPartition,
  type PartitionFinding,
  type PartitionKind,
  type PartitionSide,
  partitionCleared,
  partitionFound,
  partitionReason,
} from './partition.js';
import { PartitionsRepository } from './partitions.repository.js';

/** What a look at one cluster, whose authority is locked, has found. */
export interface PartitionLook {
  findings: readonly PartitionFinding[];
  /** Kinds that could not be judged. */
  held: readonly PartitionKind[];
  /** The sides of a finding that is new. */
  sidesOf(finding: PartitionFinding): Promise<PartitionSide[]>;
}

/** Moves the authority of clusters to `partitioned` by itself. Only an operator's transition leads out of it. */
@Injectable()
export class PartitionsService {
  constructor(
    private readonly partitions: PartitionsRepository,
    private readonly authorities: AuthorityTransitionsRepository,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Those that are open or whose evidence lasts, in all clusters. */
  known(tx: ReadTx): Promise<(KnownPartition & { clusterId: string })[]> {
    return this.partitions.known(tx, 'all');
  }

  /**
   * Locks the authority, looks, and acts upon what the look has found. Of several workers the later one finds it done.
   * @param look sees the cluster as it is under the lock; null: there is nothing to look at any more
   */
  async judge(tx: Tx, clusterId: string, look: () => Promise<PartitionLook | null>): Promise<AuditEvent[]> {
    const authority = await this.authorities.lock(tx, clusterId);
    const seen = await look();
    if (authority === null || seen === null) return [];
    const { findings, held, sidesOf } = seen;
    const known = await this.partitions.known(tx, [clusterId]);
    const { opens, returns, clears, moves } = judgeFindings(authority.state, findings, known, held);
    const events: AuditEvent[] = [];
    for (const finding of opens) {
      const sides = await sidesOf(finding);
      await this.partitions.open(tx, clusterId, finding, sides);
      events.push(partitionFound(clusterId, finding, sides));
      tx.afterCommit(() => this.logger.error({ clusterId, ...finding }, 'partition: found'));
    }
    await this.partitions.clear(
      tx,
      returns.map(({ id }) => id),
      false,
    );
    await this.partitions.clear(
      tx,
      clears.map(({ id }) => id),
      true,
    );
    events.push(...clears.map((partition) => partitionCleared(clusterId, partition)));
    if (moves) {
      const next = { state: 'partitioned' as const, term: authority.term };
      await this.authorities.move(tx, authority, next);
      events.push(authorityTransitioned(authority, next, partitionReason(opens)));
    }
    return events;
  }
}
