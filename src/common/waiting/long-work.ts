import { setImmediate as nextTurn } from 'node:timers/promises';

/** Work that would keep everybody else waiting: it stops after each part of some milliseconds, and goes on when asked. */
export type LongWork<T> = Generator<void, T, void>;

/** Does it with everybody else's turns between its parts. */
export async function inTurns<T>(work: LongWork<T>): Promise<T> {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
    await nextTurn();
  }
}

/** Does it all at once. */
export function atOnce<T>(work: LongWork<T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
}
