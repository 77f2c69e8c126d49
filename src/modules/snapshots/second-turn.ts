import type { Socket } from 'node:net';

/** No connection waits longer, however many there are: what comes next on a connection may be more urgent than a poll. */
const AT_MOST_MS = 1_000;

/**
 * Connections whose node has its answer while others of the same crowd wait for theirs. What they send next is read when
 * all have been answered: thousands that ask again at once would be read, judged and held before the last is told.
 */
export class SecondTurn {
  private waiting: { socket: Socket; untilMs: number }[] = [];
  private timer: NodeJS.Timeout | null = null;

  constructor(private readonly atMostMs = AT_MOST_MS) {}

  /** @param socket of a request that has been read to its end, and answered */
  add(socket: Socket): void {
    socket.pause();
    this.waiting.push({ socket, untilMs: performance.now() + this.atMostMs });
    this.timer ??= setTimeout(() => this.readOn(performance.now()), this.atMostMs);
  }

  /** Reads on from all of them. */
  begin(): void {
    this.readOn(Number.POSITIVE_INFINITY);
  }

  /** Reads on from those whose time is over, and comes back for the next of the others. */
  private readOn(nowMs: number): void {
    if (this.timer !== null) clearTimeout(this.timer);
    const over = this.waiting.findIndex(({ untilMs }) => untilMs > nowMs);
    for (const { socket } of this.waiting.splice(0, over === -1 ? this.waiting.length : over))
      socket.resume();
    const [next] = this.waiting;
    this.timer =
      next === undefined ? null : setTimeout(() => this.readOn(performance.now()), next.untilMs - nowMs);
  }
}
