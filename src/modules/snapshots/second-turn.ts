import type { Socket } from 'node:net';

/** Not longer, however many there are: what comes next on a connection may be more urgent than a poll. */
const AT_MOST_MS = 1_000;

/**
 * Connections whose node has its answer while others of the same crowd wait for theirs. What they send next is read when
 * all have been answered: thousands that ask again at once would be read, judged and held before the last is told.
 */
export class SecondTurn {
  private readonly sockets = new Set<Socket>();
  private timer: NodeJS.Timeout | null = null;

  constructor(private readonly atMostMs = AT_MOST_MS) {}

  /** @param socket of a request that has been read to its end, and answered */
  add(socket: Socket): void {
    socket.pause();
    this.sockets.add(socket);
    this.timer ??= setTimeout(() => this.begin(), this.atMostMs);
  }

  /** Reads on from all of them. */
  begin(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    for (const socket of this.sockets) socket.resume();
    this.sockets.clear();
  }
}
