import { compare } from 'semver';
import type { Alarm } from '../alarm.js';
import { ServiceJudge, type Verdict } from './service-judge.js';
import type { UpdateUnderWay } from './update-record.js';
import type { UpdaterContext } from './updater-context.js';

/** Finds out whether a version is good: when it is new, and for a while after. */
export class VersionTrial {
  /** Of a version that was good, and has fallen ill. */
  private lateJudge: ServiceJudge | null = null;

  /** @param isActive  whether the membership of the node is: otherwise nothing of it runs */
  constructor(
    private readonly context: Pick<UpdaterContext, 'supervisor' | 'catalogue' | 'stop'>,
    private readonly alarm: Alarm,
    private readonly isActive: () => boolean,
  ) {}

  /** Another update begins: what is known of the version of before says nothing of it. */
  forget(): void {
    this.lateJudge = null;
  }

  /** Whether the version comes up and stays well; null: stopped before that was known. */
  async judged(update: UpdateUnderWay, version: string): Promise<Verdict | null> {
    const { supervisor, stop } = this.context;
    const judge = await this.newJudge(update, version, true);
    while (!stop.aborted) {
      await supervisor.whenSettled();
      const verdict = judge.see(supervisor.look(update.serviceType), performance.now());
      // Of a node that is disabled nothing runs, and nothing is learned.
      if (verdict !== null && (this.isActive() || verdict.kind !== 'not_wanted')) return verdict;
      await this.alarm.sleep(Math.max(0, judge.wakeAt() - performance.now()) + 1, stop);
    }
    return null;
  }

  /** Whether a version that was good has turned bad, and why; else the milliseconds until the next look, null: none is
   *  needed. */
  async late(update: UpdateUnderWay): Promise<{ reason: string } | { lookAgainMs: number | null }> {
    const leftMs = update.watchUntil - Date.now();
    // The newer version that a way down has left is nothing to go back to.
    if (leftMs <= 0 || update.from === null || compare(update.to.version, update.from.version) < 0)
      return { lookAgainMs: null };
    const report = this.context.supervisor.look(update.serviceType);
    const isWell = report === null || (report.reportedState === 'running' && report.health !== 'unhealthy');
    if (isWell && this.lateJudge === null) return { lookAgainMs: leftMs };
    this.lateJudge ??= await this.newJudge(update, update.to.version, false);
    const verdict = this.lateJudge.see(report, performance.now());
    if (verdict === null)
      return { lookAgainMs: Math.max(0, this.lateJudge.wakeAt() - performance.now()) + 1 };
    this.lateJudge = null;
    return verdict.kind === 'bad' ? { reason: verdict.reason } : { lookAgainMs: 0 };
  }

  private async newJudge(update: UpdateUnderWay, version: string, isNew: boolean): Promise<ServiceJudge> {
    const { healthSeconds, settleSeconds } = (await this.context.catalogue.definitionOf(update.serviceType))
      .update;
    const deadline = performance.now() + healthSeconds * 1_000;
    return new ServiceJudge({ version, deadline, settleMs: settleSeconds * 1_000, isNew });
  }
}
