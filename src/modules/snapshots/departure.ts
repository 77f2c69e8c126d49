import type { Socket } from 'node:net';

/** Whether the caller of a held poll is still there. There are thousands of them: lighter than a signal. */
export class Departure {
  private hasLeft = false;
  private listener: (() => void) | null = null;
  private readonly leave = () => {
    this.hasLeft = true;
    this.listener?.();
  };

  /** Watches the caller's connection until {@link forget}. */
  static of(socket: Socket): Departure {
    const departure = new Departure(() => void socket.off('close', departure.leave));
    socket.once('close', departure.leave);
    return departure;
  }

  private constructor(private readonly unsubscribe: () => void) {}

  get isOver(): boolean {
    return this.hasLeft;
  }

  /** Who is told when the caller leaves: one at a time, null for nobody. */
  tell(listener: (() => void) | null): void {
    this.listener = listener;
  }

  forget(): void {
    this.unsubscribe();
  }
}
