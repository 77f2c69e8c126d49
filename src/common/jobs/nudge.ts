import type { JobsOptions } from 'bullmq';
import type { JobData } from './jobs-backend.js';

/** One run that is asked for: of the job with this id, soon or after `delayMs`. */
export interface Nudge {
  id: string;
  delayMs?: number;
}

/** A nudge as BullMQ takes it. */
export interface NudgeJob {
  name: string;
  data: JobData;
  opts: JobsOptions & { deduplication: { id: string } };
}

/** Runs of one nudge, the first included; a sweep is there for what fails longer. */
const ATTEMPTS = 4;

/** The job of one nudge, taken up by one that still waits for the same id; later ones and those for now stay apart.
 *  `retryMs`: milliseconds before a failed job's second try. */
export function jobOfNudge(name: string, { id, delayMs = 0 }: Nudge, retryMs: number): NudgeJob {
  const isLater = delayMs > 0;
  const deduplication = isLater
    ? { id: `${name}/${id}/later`, keepLastIfActive: true, reschedule: true }
    : { id: `${name}/${id}`, keepLastIfActive: true };
  const delay = isLater ? { delay: delayMs } : {};
  return { name, data: { id }, opts: { ...jobOptions(retryMs), ...delay, deduplication } };
}

/** Nothing is kept of a job that has ended: what happened stands in Postgres, in the log and in the metrics. */
export function jobOptions(retryMs: number): JobsOptions {
  const backoff = { type: 'exponential', delay: retryMs, jitter: 0.5 };
  return { attempts: ATTEMPTS, backoff, removeOnComplete: true, removeOnFail: true };
}
