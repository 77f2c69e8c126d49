import { pause } from '../waiting/waiting.js';

/**
 * Work that is asked for more often than it can run: never twice at once, and once more after the present run when it
 * was asked for meanwhile, since that run may have looked too early.
 */
export class Nudged {
  private readonly closing = new AbortController();
  private running: Promise<void> | null = null;
  private isWanted = false;

  /**
   * @param work handles its own failures
   * @param restMs pause after each run, so that a stream of nudges does not become a stream of runs
   */
  constructor(
    private readonly work: () => Promise<void>,
    private readonly restMs = 0,
  ) {}

  /** Asks for a run. */
  nudge(): void {
    if (this.closing.signal.aborted) return;
    this.isWanted = true;
    this.running ??= this.run();
  }

  /** Resolves when everything that was asked for until now has run. */
  async settled(): Promise<void> {
    await this.running;
  }

  /** Takes no more nudges and lets the present run finish. */
  async close(): Promise<void> {
    this.closing.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    try {
      while (this.isWanted && !this.closing.signal.aborted) {
        this.isWanted = false;
        await this.work();
        if (this.restMs > 0) await pause(this.restMs, this.closing.signal);
      }
    } finally {
      this.running = null;
    }
  }
}
