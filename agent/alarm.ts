import { pause } from './waiting.js';

/** Lets one loop sleep until its time has come or another one rings. A ring while nobody sleeps ends the next sleep. */
export class Alarm {
  private hasRung = false;
  private sleeper: AbortController | null = null;

  ring(): void {
    this.hasRung = true;
    this.sleeper?.abort();
  }

  /** Resolves after `ms`, at a ring, or when `stop` aborts. */
  async sleep(ms: number, stop: AbortSignal): Promise<void> {
    const sleeper = new AbortController();
    const wake = (): void => sleeper.abort();
    stop.addEventListener('abort', wake, { once: true });
    this.sleeper = sleeper;
    try {
      if (!this.hasRung && !stop.aborted) await pause(ms, sleeper.signal);
    } finally {
      stop.removeEventListener('abort', wake);
      this.sleeper = null;
      this.hasRung = false;
    }
  }
}
