import type { ApiRefusal } from '../api-errors.js';
import { isCount } from '../json-values.js';
import type { QueuedReport, UpdateRecord, UpdateUnderWay } from './update-record.js';
import type { UpdateState } from './update-state.js';

/** How the control plane has answered a report. */
export type ReportAnswer =
  /** It was heard. `phase` is as in a snapshot; null: nothing of the update is wanted any more. */
  { phase: unknown } | { refusal: Pick<ApiRefusal, 'status' | 'code' | 'message' | 'more'> };

/** The record once a report was answered: without it, or without all that nobody wants to hear any more. */
export function afterAnswer(record: UpdateRecord, report: QueuedReport, answer: ReportAnswer): UpdateRecord {
  const rest = record.reports.filter((each) => each !== report);
  if ('phase' in answer) return heard(record, rest, report, answer.phase);
  const { refusal } = answer;
  const { update } = record;
  const isOurs = isOf(report);
  const isStale = refusal.code === 'stale_report';
  const { epoch, sequence, phase } = refusal.more.extensions;
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
  const isLeaving = report.state === 'migrating' || report.state === 'starting';
  if (!update.isLetGo && isBeforeReturn(update.state) && (isOver || isLeaving)) {
    // It was told that it may go, and that was over when it went: it waits for its turn again.
    if (!isOver && phase === 'offered')
      return { ...record, reports, update: { ...update, state: 'staging' } };
    const message = `the control plane does not let it go: ${refusal.message}`;
    return { ...record, reports, update: { ...update, state: 'failed', isFinal: true, message } };
  }
  return { ...record, reports, update: update.state === 'fenced' && isOver ? null : update };
}

/** Who has failed, and is offered nothing any more, has no further try. */
function heard(
  record: UpdateRecord,
  reports: readonly QueuedReport[],
  report: QueuedReport,
  phase: unknown,
): UpdateRecord {
  const { update } = record;
  const isLast = report.state === 'failed' && phase === null;
  if (!isLast || update?.state !== 'failed' || !isOf(report)(update)) return { ...record, reports };
  return { ...record, reports, update: { ...update, isFinal: true } };
}

function isOf({ assignmentId, epoch }: QueuedReport) {
  return (each: Pick<UpdateUnderWay, 'assignmentId' | 'epoch'>): boolean =>
    each.assignmentId === assignmentId && each.epoch === epoch;
}

function isBeforeReturn(state: UpdateState): boolean {
  return ['checking', 'downloading', 'verifying', 'staging', 'migrating', 'starting'].includes(state);
}
