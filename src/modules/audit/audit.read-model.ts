import { Injectable } from '@nestjs/common';
import type { CursorValues } from '../../common/http/cursor.js';
import type { Cause } from '../../common/snapshots/snapshot-source.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { AuditRepository } from './audit.repository.js';
import type { AuditEventView } from './audit.schema.js';
import type { AuditRecord } from './audit-record.js';
import { auditEventView } from './audit-view.js';

/** The log for other modules. They have decided whether their caller may see the resource. */
@Injectable()
export class AuditReadModel {
  constructor(private readonly events: AuditRepository) {}

  /** What happened to one resource, newest first, at most `limit` events. */
  async forResource(
    tx: ReadTx,
    resourceType: string,
    resourceId: string,
    limit: number,
  ): Promise<AuditEventView[]> {
    const rows = await this.events.list(tx, { clusters: null, resourceType, resourceId }, null, limit);
    return rows.map(auditEventView);
  }

  /** The latest event of the cluster among each of these groups of causes; null where the log knows none. */
  async latest(
    tx: ReadTx,
    clusterId: string,
    groups: readonly (readonly Cause[])[],
  ): Promise<(AuditEventView | null)[]> {
    const latest: (AuditRecord | null)[] = groups.map(() => null);
    for (const { group, ...record } of await this.events.latestOf(tx, clusterId, groups)) {
      const known = latest[group] ?? null;
      if (known === null || isLater(record, known)) latest[group] = record;
    }
    return latest.map((record) => (record === null ? null : auditEventView(record)));
  }

  /** What `who` did in the cluster and what was done to it, newest first, starting behind `after`. */
  async concerning(
    tx: ReadTx,
    clusterId: string,
    who: { type: 'node'; id: string },
    after: CursorValues | null,
    limit: number,
  ): Promise<AuditEventView[]> {
    return (await this.events.listConcerning(tx, clusterId, who, after, limit)).map(auditEventView);
  }
}

/** Events of one transaction have one time; their ids are in the order in which it wrote them. */
function isLater(one: AuditRecord, other: AuditRecord): boolean {
  const difference = one.occurredAt.getTime() - other.occurredAt.getTime();
  return difference === 0 ? one.id > other.id : difference > 0;
}
