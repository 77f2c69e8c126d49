import { Turns, type TurnsOptions } from './turns.js';

/** Lets calls through a few at a time, whoever makes them, in the order in which they came. */
export class Slots {
  private readonly turns: Turns;
  private count = 0;

  constructor(options: TurnsOptions) {
    this.turns = new Turns(options);
  }

  /** Runs `work` when a slot is free. @throws unavailable when that takes too long */
  run<T>(work: () => Promise<T>): Promise<T> {
    this.count += 1;
    return this.turns.run(String(this.count), work);
  }
}
