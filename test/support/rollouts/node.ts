import type { Direction } from '../../../src/modules/rollouts/engine/assignment-state.js';
import { type Doing, type Fate, Host } from './host.js';
import type { RolloutWorld } from './world.js';

/** A host that the pure model answers at once. */
export class WorldNode {
  private readonly host = new Host();

  constructor(
    readonly nodeId: string,
    private readonly world: RolloutWorld,
  ) {}

  get version(): string {
    return this.host.version;
  }

  get disruptedBy(): Direction | null {
    return this.host.disruptedBy;
  }

  poll(): void {
    this.host.heard = this.world.told(this.nodeId);
  }

  act(fate: Fate): void {
    this.answer(this.host.act(fate));
  }

  repeat(index: number): void {
    this.answer(this.host.repeat(index));
  }

  regress(): void {
    this.answer(this.host.regress());
  }

  unfence(): void {
    if (!this.host.isFenced) return;
    this.world.unfence(this.nodeId);
    this.host.repair();
  }

  private answer(doing: Doing): void {
    let step = doing.next();
    while (step.done !== true) {
      const { about, report } = step.value;
      step = doing.next(this.world.report(this.nodeId, about.direction, report));
    }
  }
}
