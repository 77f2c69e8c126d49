import { Injectable } from '@nestjs/common';

/** Calls at a time of one instance that hold two connections: plans, which may read a whole cluster, and keyed calls. */
const SLOTS = 2;

/** Lets such calls through a few at a time, so that large ones hold nobody else up. */
@Injectable()
export class PlanSlots {
  private taken = 0;
  private readonly waiting: (() => void)[] = [];

  /** Runs `work` when a slot is free. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.taken < SLOTS) this.taken += 1;
    // Whoever leaves hands its slot over, so that the count stays.
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.taken -= 1;
      else next();
    }
  }
}
