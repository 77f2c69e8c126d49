import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { clustersWith, type Principal } from '../../common/auth/principal.js';
import { notFound } from '../../common/errors/domain-error.js';
import type { CursorValues } from '../../common/http/cursor.js';
import { type Page, Paging } from '../../common/http/paging.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { AuditRepository } from './audit.repository.js';
import type { AuditEventView, AuditExportQuery, AuditQuery } from './audit.schema.js';
import { type AuditFilter, type AuditRecord, writtenBetween } from './audit-record.js';
import { auditEventView } from './audit-view.js';

/** Events read at a time while exporting: about half a megabyte. */
const EXPORT_BATCH = 500;

/** Reading the log: each caller sees the clusters over which they hold `audit.read`. */
@Injectable()
export class AuditService {
  constructor(
    private readonly transactor: Transactor,
    private readonly events: AuditRepository,
    private readonly paging: Paging,
  ) {}

  /** Newest first. */
  list(principal: Principal, query: z.infer<typeof AuditQuery>): Promise<Page<AuditEventView>> {
    const { limit, cursor, ...wanted } = query;
    const filter = filterFor(principal, wanted);
    const list = { kind: 'audit_events', filters: filter, limit, cursor };
    const after = this.paging.after(list);
    return this.transactor.read(async (tx) => {
      const rows = await this.events.list(tx, filter, after, limit + 1);
      return this.paging.page(list, rows, keyOf, auditEventView);
    });
  }

  /** @throws not_found */
  async get(principal: Principal, id: string): Promise<AuditEventView> {
    const written = writtenBetween(id);
    if (written === null) throw noSuchEvent();
    const clusters = clustersWith(principal, 'audit.read');
    const record = await this.transactor.read((tx) => this.events.find(tx, id, written, clusters));
    if (record === null) throw noSuchEvent();
    return auditEventView(record);
  }

  /**
   * Everything that the filters let through, newest first, as lines of JSON; read as fast as they are taken, each batch
   * in a transaction of its own. The first one is read before this resolves, so that its failure is still an answer.
   */
  async export(
    principal: Principal,
    query: z.infer<typeof AuditExportQuery>,
  ): Promise<AsyncIterable<string>> {
    const filter = filterFor(principal, query);
    const batch = (after: CursorValues | null) =>
      this.transactor.read((tx) => this.events.list(tx, filter, after, EXPORT_BATCH));
    return linesOf(await batch(null), batch);
  }
}

async function* linesOf(
  first: readonly AuditRecord[],
  next: (after: CursorValues) => Promise<readonly AuditRecord[]>,
): AsyncGenerator<string> {
  let rows = first;
  for (;;) {
    if (rows.length > 0) yield rows.map((row) => `${JSON.stringify(auditEventView(row))}\n`).join('');
    const last = rows.at(-1);
    if (last === undefined || rows.length < EXPORT_BATCH) return;
    rows = await next(keyOf(last));
  }
}

function filterFor(principal: Principal, wanted: Omit<AuditFilter, 'clusters'>): AuditFilter {
  return { ...wanted, clusters: clustersWith(principal, 'audit.read') };
}

function keyOf({ occurredAt, id }: AuditRecord): CursorValues {
  return [occurredAt.toISOString(), id];
}

function noSuchEvent() {
  return notFound('not_found', 'There is no such audit event.');
}
