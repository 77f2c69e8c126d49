import { type BeforeApplicationShutdown, Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { Nudged } from '../../common/changes/nudged.js';
import { Jobs } from '../../common/jobs/jobs.js';
import { LOGGER } from '../../common/observability/logger.js';
import { pause } from '../../common/waiting/waiting.js';
import { KeptGenerationGroupsRepository } from './kept-generation-groups.repository.js';

/** Groups are taken apart when none has come for so long; and anyhow when the first has waited for so long. */
const QUIET_SECONDS = 2;
const LATEST_SECONDS = 30;
/** Groups a statement, and the pause after it: some thousand generations a second, and most of the time nothing. */
const PORTION = 1;
const REST_MS = 20;
/** Groups of this age were left by a process that has ended, or could not reach the database. */
const LEFT_SECONDS = 60;
const SWEEP_SECONDS = 60;

/**
 * Takes apart the groups in which generations were stored before nodes got them. Nothing depends on when this runs, or
 * on how many run it: who reads generations finds those in groups as well.
 */
@Injectable()
export class GenerationUngrouper implements OnModuleInit, BeforeApplicationShutdown {
  private readonly closing = new AbortController();
  private readonly work = new Nudged(() => this.run());
  /** When the first and the last were stored that are not taken apart yet. */
  private firstMs: number | null = null;
  private lastMs = 0;

  constructor(
    private readonly groups: KeptGenerationGroupsRepository,
    private readonly jobs: Jobs,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onModuleInit(): void {
    this.jobs.define({
      queue: 'maintenance',
      name: 'kept-generation-groups',
      everySeconds: SWEEP_SECONDS,
      run: () => this.sweep(),
    });
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.closing.abort();
    await this.work.close();
  }

  /** Says that this instance has stored a group. */
  stored(): void {
    this.lastMs = performance.now();
    this.firstMs ??= this.lastMs;
    this.work.nudge();
  }

  /** Takes apart what was left of groups that are a minute old, and returns how many there were. */
  async takeLeft(): Promise<number> {
    let groups = 0;
    while (!this.closing.signal.aborted) {
      const taken = await this.groups.takeApart(LEFT_SECONDS, PORTION);
      if (taken === 0) break;
      groups += taken;
      await pause(REST_MS, this.closing.signal);
    }
    return groups;
  }

  private async run(): Promise<void> {
    try {
      do await this.quiet();
      while (!this.closing.signal.aborted && (await this.groups.takeApart(QUIET_SECONDS, PORTION)) > 0);
      this.firstMs = null;
    } catch (error) {
      this.logger.warn({ err: error }, 'snapshots: generations stay in groups for now');
    }
  }

  /** Waits until nothing was stored for a while, or no longer when it goes on and on; a moment in any case. */
  private async quiet(): Promise<void> {
    const { signal } = this.closing;
    do await pause(Math.max(REST_MS, this.untilQuietMs()), signal);
    while (this.untilQuietMs() > 0 && !signal.aborted);
  }

  private untilQuietMs(): number {
    const latestMs = (this.firstMs ?? this.lastMs) + LATEST_SECONDS * 1000;
    return Math.min(this.lastMs + QUIET_SECONDS * 1000, latestMs) - performance.now();
  }

  private async sweep(): Promise<void> {
    const groups = await this.takeLeft();
    if (groups > 0) this.logger.warn({ groups }, 'snapshots: took apart groups that had been left');
  }
}
