import { Injectable } from '@nestjs/common';
import type { RequestContext } from '../../common/request/request-context.js';
import './access.audit.js';
import { AccessRecords } from './access-records.js';

const WINDOW_MS = 60_000;
/** Uses remembered at the most; forgetting one only records it again. */
const REMEMBERED = 1_000;

/**
 * Records the uses of the bootstrap token that leave no audit event of their own: reads, dry runs, refused calls. A
 * script that polls is one event a minute for each operation and address; see ADR 0004.
 */
@Injectable()
export class BootstrapUses {
  private readonly recordedAt = new Map<string, number>();

  constructor(private readonly records: AccessRecords) {}

  /** Does nothing for anybody else than the bootstrap token. */
  async note(request: RequestContext): Promise<void> {
    const { actor, operationId: operation } = request;
    if (actor?.type !== 'bootstrap' || operation === null) return;
    const key = `${operation} ${request.ip}`;
    const now = performance.now();
    const last = this.recordedAt.get(key);
    if (last !== undefined && now - last < WINDOW_MS) return;
    if (this.recordedAt.size >= REMEMBERED) this.recordedAt.clear();
    this.recordedAt.set(key, now);
    try {
      await this.records.write(request, actor, {
        action: 'bootstrap_token.used',
        resource: { type: 'bootstrap_token', id: 'bootstrap', name: null },
        clusterId: null,
        outcome: 'success',
        highRisk: false,
        reason: null,
        before: null,
        after: { operation },
      });
    } catch (error) {
      this.recordedAt.delete(key);
      throw error;
    }
  }
}
