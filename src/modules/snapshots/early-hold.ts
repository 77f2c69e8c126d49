import type { EarlyPoll } from './early-poll.js';
import type { Holding } from './watch.js';

/** A poll that is held as its connection, a timer and this. */
export class EarlyHold implements Holding {
  /** When it is answered at the latest, by `performance.now()`. */
  readonly deadline: number;
  isOver = false;
  isStopping = false;
  /** What it waits for is being looked at just now. */
  isLookedAt = false;
  private isWokenAgain = false;
  private hinted: Set<string> | null = null;
  private timer: NodeJS.Timeout | null = null;

  /** @param wake asks for a look at it; @param leave called when the caller has gone */
  constructor(
    readonly poll: EarlyPoll,
    private readonly wake: (hold: EarlyHold) => void,
    private readonly leave: (hold: EarlyHold) => void,
  ) {
    this.deadline = performance.now() + poll.waitSeconds * 1000;
    poll.request.socket.once('close', this.left);
  }

  private readonly left = (): void => this.leave(this);

  get hints(): readonly string[] {
    return this.hinted === null ? [] : [...this.hinted];
  }

  release(release: 'changed' | 'stopping'): void {
    if (this.isOver) return;
    if (release === 'stopping') this.isStopping = true;
    if (this.isLookedAt) this.isWokenAgain = true;
    else this.wake(this);
  }

  hint(connectionId: string): void {
    this.hinted ??= new Set();
    this.hinted.add(connectionId);
  }

  /** Begins a look. */
  look(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.isLookedAt = true;
    this.isWokenAgain = false;
  }

  /** Waits on after a look that has found nothing, for so long at most. */
  stay(waitMs: number): void {
    this.isLookedAt = false;
    if (this.isWokenAgain) this.wake(this);
    else this.timer = setTimeout(() => this.wake(this), Math.max(1, waitMs));
  }

  /** Nothing of it is left but the connection. */
  end(): void {
    this.isOver = true;
    if (this.timer !== null) clearTimeout(this.timer);
    this.poll.request.socket.off('close', this.left);
  }
}
