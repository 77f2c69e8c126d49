import { Injectable } from '@nestjs/common';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import type { Actor } from '../../common/request/actor.js';
import { type RequestContext, runInRequest } from '../../common/request/request-context.js';
import { Transactor } from '../../common/transaction/transactor.js';

/** Audit events about a request itself, written whatever becomes of the change that it asks for. */
@Injectable()
export class AccessRecords {
  constructor(private readonly transactor: Transactor) {}

  /** Commits the event in a transaction of its own. */
  write(request: RequestContext, actor: Actor, event: AuditEvent): Promise<void> {
    // If-Match is a condition of the change, not of its record.
    return runInRequest({ ...request, ifMatch: null }, () => this.transactor.record(actor, event));
  }
}
