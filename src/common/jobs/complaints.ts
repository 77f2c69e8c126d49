import { performance } from 'node:perf_hooks';
import type { JobLog } from './job-definition.js';

/** Errors are logged at most this often: while a backend is away each worker reports one many times a second. */
const COMPLAINT_MS = 10_000;

/** The errors of a backend: the last one is kept, few are logged, and none once it is silenced. */
export class Complaints {
  /** The last error, logged or not. */
  last: Error | null = null;
  private isSilent = false;
  private loggedAt = Number.NEGATIVE_INFINITY;
  private suppressed = 0;

  constructor(private readonly logger: JobLog) {}

  /** Nothing is logged any more: errors of connections that end are no news. */
  silence(): void {
    this.isSilent = true;
  }

  /** Keeps an error, and logs it unless one was logged just now. */
  add(error: Error, details: object = {}): void {
    this.last = error;
    if (this.isSilent) return;
    const now = performance.now();
    if (now - this.loggedAt < COMPLAINT_MS) {
      this.suppressed += 1;
      return;
    }
    const { suppressed } = this;
    this.loggedAt = now;
    this.suppressed = 0;
    this.logger.warn({ err: error, suppressed, ...details }, 'jobs: the backend has a problem');
  }
}
