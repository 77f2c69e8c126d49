import { ApiRefusal } from '../api-errors.js';
import { retryMs } from '../backoff.js';
import type { Log } from '../log.js';
import type { NodeApi } from '../node-api.js';
import { pause } from '../waiting.js';
import type { AssignmentStatus } from './lease-refusal.js';

const MESSAGE_LENGTH = 500;

interface Report {
  status: AssignmentStatus;
  message: string | null;
}

/** Tells the control plane how each connection stands on this node. The latest word counts; it is sent until it is heard. */
export class AssignmentReporter {
  private readonly latest = new Map<string, Report>();
  private readonly sending = new Set<string>();

  constructor(
    private readonly api: NodeApi,
    private readonly log: Log,
    private readonly stop: AbortSignal,
  ) {}

  /** Returns at once. The same word again is not sent. */
  report(connectionId: string, status: AssignmentStatus, message: string | null): void {
    const cut = message === null ? null : message.slice(0, MESSAGE_LENGTH);
    const known = this.latest.get(connectionId);
    if (known?.status === status && known.message === cut) return;
    this.latest.set(connectionId, { status, message: cut });
    if (!this.sending.has(connectionId)) void this.send(connectionId);
  }

  /** Nothing is to be said of this connection any more. */
  forget(connectionId: string): void {
    this.latest.delete(connectionId);
  }

  private async send(connectionId: string): Promise<void> {
    this.sending.add(connectionId);
    for (let attempt = 0; !this.stop.aborted; ) {
      const report = this.latest.get(connectionId);
      if (report === undefined) break;
      try {
        const { status, message } = report;
        await this.api.send({
          method: 'PUT',
          path: `/vpn-assignments/${connectionId}/status`,
          json: { status, ...(message !== null && { message }) },
        });
        if (this.latest.get(connectionId) === report) break;
        attempt = 0;
      } catch (error) {
        // A node that lost the connection is told 404: there is nothing to report any more.
        if (error instanceof ApiRefusal) {
          this.log.debug('vpn.status_refused', { connectionId, detail: error.message });
          break;
        }
        await pause(retryMs(attempt++, null, Math.random()), this.stop);
      }
    }
    this.sending.delete(connectionId);
  }
}
