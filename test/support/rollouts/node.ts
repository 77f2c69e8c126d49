import type { Direction } from '../../../src/modules/rollouts/engine/assignment-state.js';
import type { NodeUpdateState } from '../../../src/modules/rollouts/engine/node-update.js';
import type { UpdateReport } from '../../../src/modules/rollouts/engine/update-report.js';
import { NEW, OLD, type RolloutWorld, type Told } from './world.js';

/** How the next step of a node turns out. */
export type Fate = 'well' | 'bad_download' | 'unhealthy' | 'fenced';

const PREPARING: readonly NodeUpdateState[] = ['checking', 'downloading', 'verifying', 'staging'];
const CHANGING: readonly NodeUpdateState[] = ['starting', 'health_checking', 'promoting', 'running'];

/** A host: what it really runs and whether it is really there, whatever the control plane believes. */
export class WorldNode {
  version = OLD;
  /** Out of service since it was told that it may. */
  disruptedBy: Direction | null = null;
  /** What it heard last; it may be out of date. */
  private heard: Told | null = null;
  private state: NodeUpdateState = 'idle';
  private work: { direction: Direction; epoch: number; toVersion: string } | null = null;
  private sequence = 0;
  private readonly sent: { direction: Direction; report: UpdateReport }[] = [];

  constructor(
    readonly nodeId: string,
    private readonly world: RolloutWorld,
  ) {}

  poll(): void {
    this.heard = this.world.told(this.nodeId);
  }

  /** Does the next thing that it was told to, or leaves it. */
  act(fate: Fate): void {
    if (this.state === 'fenced') return;
    if (this.disruptedBy === null) this.begin(fate);
    else this.goOn(fate);
  }

  /** Sends something that it has sent before. */
  repeat(index: number): void {
    const old = this.sent[index % Math.max(1, this.sent.length)];
    if (old !== undefined) this.world.report(this.nodeId, old.direction, old.report);
  }

  /** A version that was fine turns out bad. */
  regress(): void {
    if (this.disruptedBy !== null || this.state !== 'running' || this.version !== NEW) return;
    if (this.work?.direction !== 'forward') return;
    for (const state of ['rollback_required', 'rolling_back', 'rolled_back', 'idle'] as const)
      this.tell(state);
    this.version = OLD;
  }

  unfence(): void {
    if (this.state !== 'fenced') return;
    this.world.unfence(this.nodeId);
    this.disruptedBy = null;
    this.version = OLD;
    this.state = 'idle';
    this.work = null;
  }

  /** What it has staged for another way is of no use. */
  private begin(fate: Fate): void {
    const { heard, work } = this;
    if (heard === null) return;
    if (work === null || work.direction !== heard.direction || work.epoch !== heard.epoch) {
      this.work = heard;
      this.state = 'idle';
    }
    if (heard.phase === 'granted' && this.state === 'staging') {
      this.disruptedBy = heard.direction;
      this.tell('starting');
    } else if (this.state === 'idle' && heard.phase === 'offered') this.prepare(fate);
  }

  private prepare(fate: Fate): void {
    const isBad = fate === 'bad_download';
    for (const state of isBad ? (['checking', 'downloading', 'failed'] as const) : PREPARING)
      this.tell(state);
  }

  private goOn(fate: Fate): void {
    if (fate === 'fenced') this.fence();
    else if (fate === 'unhealthy') this.goBack();
    else this.advance();
  }

  private advance(): void {
    const next = CHANGING[CHANGING.indexOf(this.state) + 1];
    if (next === undefined) return;
    if (next === 'running') {
      this.version = this.work?.toVersion ?? this.version;
      this.disruptedBy = null;
    }
    this.tell(next);
  }

  private goBack(): void {
    const from = this.work?.direction === 'back' ? NEW : OLD;
    this.tell('rollback_required');
    this.tell('rolling_back');
    this.version = from;
    this.disruptedBy = null;
    this.tell('rolled_back');
  }

  private fence(): void {
    this.tell('rollback_required');
    this.tell('fenced');
  }

  private tell(state: NodeUpdateState): void {
    this.state = state;
    if (this.work === null) return;
    this.sequence += 1;
    const { direction, epoch } = this.work;
    const report = { state, epoch, attempt: 1, sequence: this.sequence };
    this.sent.push({ direction, report });
    const answer = this.world.report(this.nodeId, direction, report);
    if (answer === 'refused' && this.disruptedBy === null) this.startAfresh(direction, epoch);
  }

  /** What the control plane does not want to hear is given up. */
  private startAfresh(direction: Direction, epoch: number): void {
    this.work = null;
    this.sequence += 1;
    const report = { state: 'idle' as const, epoch, attempt: 1, sequence: this.sequence };
    this.world.report(this.nodeId, direction, report);
  }
}
