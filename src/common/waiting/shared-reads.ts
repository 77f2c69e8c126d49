/** A read that is under way, and the one after it, should somebody want it. */
interface Wave<T> {
  running: Promise<T>;
  next: Promise<T> | null;
}

/**
 * Lets a crowd that wants the same share its reads. Who comes while one is under way gets the next one, not that one: it
 * begins after the caller came, so that nobody is told less than was true when it asked.
 */
export class SharedReads<T> {
  private readonly waves = new Map<string, Wave<T>>();

  /** What `read` resolves to, begun now or right after the one of this key that is under way. */
  get(key: string, read: () => Promise<T>): Promise<T> {
    const wave = this.waves.get(key);
    if (wave === undefined) return this.begin(key, read);
    wave.next ??= wave.running.then(
      () => this.begin(key, read),
      () => this.begin(key, read),
    );
    return wave.next;
  }

  private begin(key: string, read: () => Promise<T>): Promise<T> {
    const wave: Wave<T> = { running: read(), next: null };
    this.waves.set(key, wave);
    const end = (): void => {
      if (wave.next === null) this.waves.delete(key);
    };
    wave.running.then(end, end);
    return wave.running;
  }
}
