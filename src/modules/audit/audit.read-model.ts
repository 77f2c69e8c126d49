import { Injectable } from '@nestjs/common';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { AuditRepository } from './audit.repository.js';
import type { AuditEventView } from './audit.schema.js';
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
