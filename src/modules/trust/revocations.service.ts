import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { notFound } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { type Revocation, RevocationsRepository } from './revocations.repository.js';
import type { RevocationQuery, RevocationSummary, RevocationView } from './revocations.schema.js';

/** Nodes that a view names; the counts hold all. */
const SHOWN = 100;

/** Shows how revocations travel: who applies which epoch, and how long it took. */
@Injectable()
export class RevocationsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly revocations: RevocationsRepository,
    private readonly paging: Paging,
  ) {}

  /** @throws not_found when no revocation raised the cluster to this epoch */
  get(clusterId: string, epoch: number): Promise<RevocationView> {
    return this.transactor.read(async (tx) => {
      const revocation = await this.revocations.find(tx, clusterId, epoch);
      if (revocation === null) throw notFound('not_found', 'The cluster has no revocation of this epoch.');
      const { members, applied, medianMs, p95Ms, maxMs } = await this.revocations.propagation(
        tx,
        clusterId,
        revocation,
      );
      const who = await this.revocations.members(tx, clusterId, epoch, 'applied', SHOWN);
      const whoNot = await this.revocations.members(tx, clusterId, epoch, 'pending', SHOWN);
      return {
        ...summary(clusterId, revocation),
        members,
        appliedCount: applied,
        pendingCount: members - applied,
        latencyMilliseconds: { median: whole(medianMs), p95: whole(p95Ms), max: whole(maxMs) },
        applied: who.map(({ nodeId, name, lastSeenAt, appliedAt }) => ({
          nodeId,
          name,
          lastSeenAt: lastSeenAt?.toISOString() ?? null,
          appliedAt: appliedAt?.toISOString() ?? null,
        })),
        pending: whoNot.map(({ nodeId, name, lastSeenAt, epochApplied }) => ({
          nodeId,
          name,
          lastSeenAt: lastSeenAt?.toISOString() ?? null,
          epochApplied,
        })),
      };
    });
  }

  /** Newest first. */
  list(
    clusterId: string,
    { limit, cursor }: z.infer<typeof RevocationQuery>,
  ): Promise<Page<RevocationSummary>> {
    const list = { kind: 'revocations', filters: { clusterId }, limit, cursor };
    return this.transactor.read(async (tx) => {
      const rows = await this.revocations.list(tx, clusterId, this.paging.after(list), limit);
      return this.paging.page(
        list,
        rows,
        ({ epoch }) => [epoch],
        (row) => summary(clusterId, row),
      );
    });
  }
}

function summary(
  clusterId: string,
  { epoch, nodeId, identityId, reason, revokedAt }: Revocation,
): RevocationSummary {
  return { epoch, clusterId, nodeId, identityId, reason, revokedAt: revokedAt.toISOString() };
}

function whole(milliseconds: number | null): number | null {
  return milliseconds === null ? null : Math.max(0, Math.round(milliseconds));
}
