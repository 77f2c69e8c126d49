/** Lets one piece of work at a time through, in the order in which they come. */
export class Turns {
  private last: Promise<unknown> = Promise.resolve();

  /** Resolves or rejects as `work` does; a failure is its own caller's, and the next one goes on. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const result = this.last.then(work);
    this.last = result.catch(() => undefined);
    return result;
  }

  /** The same for who does not wait beyond a stop: rejects then. What has begun goes on all the same, and the next turn
   *  is after it; what has not begun by then never does. */
  takeUntil<T>(stop: AbortSignal, work: () => Promise<T>): Promise<T> {
    const working = this.take(() => {
      stop.throwIfAborted();
      return work();
    });
    return new Promise((resolve, reject) => {
      const leave = (): void => reject(stop.reason);
      if (stop.aborted) leave();
      stop.addEventListener('abort', leave, { once: true });
      void working.then(resolve, reject).finally(() => stop.removeEventListener('abort', leave));
    });
  }
}
