import { Alarm } from '../alarm.js';
import { ApiRefusal } from '../api-errors.js';
import { isCount } from '../json-values.js';
import { afterFailure, type LoopContext } from '../loop.js';
import type { NodeApi } from '../node-api.js';
import type { QueuedReport, UpdateRecord, UpdateRecords } from './update-record.js';
import type { UpdateState } from './update-state.js';

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
      const refusal = await this.send(report);
      await this.records.change(product, (record) => afterAnswer(record, report, refusal));
      this.heard();
    }
  }

  /** Null: it was heard. @throws ServerAway, IdentityRefused */
  private async send(report: QueuedReport): Promise<ApiRefusal | null> {
    const { assignmentId, state, attempt, epoch, sequence, version, message } = report;
    try {
      await this.api.send({
        method: 'POST',
        path: `/updates/${assignmentId}/state`,
        json: {
          ...{ state, attempt, epoch, sequence },
          ...(version !== null && { version }),
          ...(message !== null && { message: message.slice(0, MESSAGE_LENGTH) }),
        },
      });
      this.context.presence.back();
      return null;
    } catch (error) {
      // Whoever is disabled for a while reports later; only what is said of the report itself is final.
      if (!(error instanceof ApiRefusal) || !isAnswer(error)) throw error;
      const { code, message: detail } = error;
      this.context.log.warn('update.report_refused', { assignmentId, state, code, detail });
      return error;
    }
  }
}

/** The record once a report was answered: without it, or without all that nobody wants to hear any more. */
export function afterAnswer(
  record: UpdateRecord,
  report: QueuedReport,
  refusal: ApiRefusal | null,
): UpdateRecord {
  const rest = record.reports.filter((each) => each !== report);
  if (refusal === null) return { ...record, reports: rest };
  const isOurs = (each: { assignmentId: string; epoch: number }): boolean =>
    each.assignmentId === report.assignmentId && each.epoch === report.epoch;
  const { update } = record;
  const isStale = refusal.code === 'stale_report';
  const { epoch, sequence } = refusal.more.extensions;
  if (isStale && epoch === report.epoch && isCount(sequence) && sequence >= report.sequence) {
    // The control plane knows more of this node than the node itself: its directory was set back.
    const shift = sequence - report.sequence + 1;
    const shifted = <T extends { assignmentId: string; epoch: number; sequence: number }>(each: T): T =>
      isOurs(each) ? { ...each, sequence: each.sequence + shift } : each;
    return {
      ...record,
      reports: record.reports.map(shifted),
      update: update === null ? null : shifted(update),
    };
  }
  // It was taken out of the node's hands, or is none of its matters any more: what else there is to say of it is as stale.
  const isOver = isStale || refusal.status === 404;
  const reports = isOver ? rest.filter((each) => !isOurs(each)) : rest;
  if (update === null || !isOurs(update)) return { ...record, reports };
  // Not let out of service: it is given up before anything has happened.
  const isNotLetGo =
    !update.isLetGo &&
    isBeforeReturn(update.state) &&
    (isOver || report.state === 'migrating' || report.state === 'starting');
  if (isNotLetGo) {
    const message = `the control plane does not let it go: ${refusal.message}`;
    return { ...record, reports, update: { ...update, state: 'failed', isFinal: true, message } };
  }
  return { ...record, reports, update: update.state === 'fenced' && isOver ? null : update };
}

function isAnswer({ status, code }: ApiRefusal): boolean {
  return [400, 404, 422].includes(status) || code === 'stale_report';
}

function isBeforeReturn(state: UpdateState): boolean {
  return ['checking', 'downloading', 'verifying', 'staging', 'migrating', 'starting'].includes(state);
}
