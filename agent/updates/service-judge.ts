import type { ServiceReport } from '../supervisor/service-report.js';

/** So often a version may end, each time by itself, before it is bad. */
const MAX_FALLS = 3;

/** What a judge is asked to find out. Times are milliseconds of a clock that nobody sets. */
export interface Terms {
  version: string;
  /** By then it must be well. */
  deadline: number;
  /** It must stay well for so long. */
  settleMs: number;
  /** One that is new must not fall ill at all; one that has been good is started again first, as it always is. */
  isNew: boolean;
}

export type Verdict = { kind: 'well' } | { kind: 'bad'; reason: string } | { kind: 'not_wanted' };

/** Watches one service through its reports, and says whether the version that it runs is good. */
export class ServiceJudge {
  private wellSince: number | null = null;
  private falls = 0;
  private lastWell = '';
  private lastFall = '';
  private complaint = 'it has not come up';

  constructor(private readonly terms: Terms) {}

  /** Takes a report in; null: the service is not wanted to run. Returns null as long as nothing is decided. */
  see(report: ServiceReport | null, now: number): Verdict | null {
    const { version, deadline, settleMs } = this.terms;
    if (report === null) return { kind: 'not_wanted' };
    if (report.version === version) this.note(report, now);
    if (this.falls >= MAX_FALLS) return { kind: 'bad', reason: this.complaint };
    if (this.wellSince !== null && now - this.wellSince >= settleMs) return { kind: 'well' };
    return now >= deadline && this.wellSince === null ? { kind: 'bad', reason: this.complaint } : null;
  }

  /** When to look again though nothing has changed. */
  wakeAt(): number {
    return this.wellSince === null ? this.terms.deadline : this.wellSince + this.terms.settleMs;
  }

  private note({ reportedState, health, instanceId, message }: ServiceReport, now: number): void {
    const isWell = reportedState === 'running' && health !== 'unhealthy';
    if (isWell) {
      // Another process than the one that was well: that one has ended between two looks.
      if (this.lastWell !== '' && this.lastWell !== instanceId && this.lastFall !== this.lastWell)
        this.falls += 1;
      this.wellSince = this.lastWell === instanceId ? (this.wellSince ?? now) : now;
      this.lastWell = instanceId;
      return;
    }
    this.wellSince = null;
    if (message !== null) this.complaint = message.slice(0, 300);
    const hasFallen = reportedState === 'failed' || reportedState === 'stopped' || health === 'unhealthy';
    // One process that ends because it is ill has fallen once.
    if (!hasFallen || this.lastFall === instanceId) return;
    this.lastFall = instanceId;
    this.falls += health === 'unhealthy' && this.terms.isNew ? MAX_FALLS : 1;
  }
}
