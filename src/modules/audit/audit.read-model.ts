import { Injectable } from '@nestjs/common';
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
}
