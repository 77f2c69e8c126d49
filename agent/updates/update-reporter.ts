import { Alarm } from '../alarm.js';
import { ApiRefusal } from '../api-errors.js';
import { isObject } from '../json-values.js';
import { afterFailure, type LoopContext } from '../loop.js';
import type { NodeApi } from '../node-api.js';
import { afterAnswer, type ReportAnswer } from './report-answer.js';
import type { QueuedReport, UpdateRecords } from './update-record.js';

const MESSAGE_LENGTH = 500;
/** Nothing to be sent: a ring ends it. */
const LONG_MS = 3_600_000;

/**
 * Sends the reports that the records hold, in their order, each until it is heard. They have their numbers before they
 * are sent, so that a repeat is the same report, also after a crash.
 */
export class UpdateReporter {
  private readonly alarm = new Alarm();
  private heard: () => void = () => undefined;

  constructor(
    private readonly api: NodeApi,
    private readonly records: UpdateRecords,
    private readonly context: LoopContext,
  ) {}

  /** There is something to send. */
  ring(): void {
    this.alarm.ring();
  }

  /** Calls `listener` whenever a report was heard, or refused. */
  onHeard(listener: () => void): void {
    this.heard = listener;
  }

  /** Sends what comes until stopped. @throws IdentityRefused */
  async run(): Promise<void> {
    const { stop } = this.context;
    let failures = 0;
    while (!stop.aborted) {
      let waitMs = LONG_MS;
      try {
        for (const product of this.records.products) await this.flush(product);
        failures = 0;
      } catch (error) {
        waitMs = afterFailure(error, 'update.report_failed', failures, this.context);
        failures += 1;
      }
      await this.alarm.sleep(waitMs, stop);
    }
  }

  private async flush(product: string): Promise<void> {
    for (;;) {
      const [report] = this.records.of(product).reports;
      if (report === undefined) return;
      const answer = await this.send(report);
      await this.records.change(product, (record) => afterAnswer(record, report, answer));
      this.heard();
    }
  }

  /** @throws ServerAway, IdentityRefused */
  private async send(report: QueuedReport): Promise<ReportAnswer> {
    const { assignmentId, state, attempt, epoch, sequence, version, message } = report;
    try {
      const { body } = await this.api.send({
        method: 'POST',
        path: `/updates/${assignmentId}/state`,
        json: {
          ...{ state, attempt, epoch, sequence },
          ...(version !== null && { version }),
          ...(message !== null && { message: message.slice(0, MESSAGE_LENGTH) }),
        },
      });
      this.context.presence.back();
      return { phase: isObject(body) ? body.phase : undefined };
    } catch (error) {
      // Whoever is disabled for a while reports later; only what is said of the report itself is final.
      if (!(error instanceof ApiRefusal) || !isAnswer(error)) throw error;
      const { code, message: detail } = error;
      this.context.log.warn('update.report_refused', { assignmentId, state, code, detail });
      return { refusal: error };
    }
  }
}

function isAnswer({ status, code }: ApiRefusal): boolean {
  return [400, 404, 422].includes(status) || code === 'stale_report';
}
