import type { Direction } from '../../../src/modules/rollouts/engine/assignment-state.js';
import type { NodeUpdateState } from '../../../src/modules/rollouts/engine/node-update.js';
import type { UpdateReport } from '../../../src/modules/rollouts/engine/update-report.js';

export const OLD = '1.0.0';
/** Between them, where the new version can be reached from no older one. */
export const FLOOR = '1.5.0';
export const NEW = '2.0.0';
/** After it, and not for every system. */
export const HOTFIX = '2.1.0';

/** How the next step of a host turns out. */
export type Fate = 'well' | 'bad_download' | 'unhealthy' | 'fenced';

/** What the host may do now, as its snapshot says. */
export interface Told {
  /** By which assignment, where there are several. */
  assignmentId?: string;
  direction: Direction;
  epoch: number;
  phase: 'offered' | 'granted';
  toVersion: string;
}

/** A report that a host sends. */
export interface Sent<T extends Told = Told> {
  about: T;
  report: UpdateReport;
}

/** What a host does, report by report; each is answered before it goes on. */
export type Doing<T extends Told = Told> = Generator<Sent<T>, void, 'accepted' | 'refused'>;

const PREPARING: readonly NodeUpdateState[] = ['checking', 'downloading', 'verifying', 'staging'];
const CHANGING: readonly NodeUpdateState[] = ['starting', 'health_checking', 'promoting', 'running'];

/** A host: what it really runs and whether it is really there, whatever the control plane believes. */
export class Host<T extends Told = Told> {
  version = OLD;
  /** What has led it to its version. */
  arrivedBy: T | null = null;
  /** Out of service since it was told that it may. */
  disruptedBy: Direction | null = null;
  /** What it heard last; it may be out of date. */
  heard: T | null = null;
  private state: NodeUpdateState = 'idle';
  private work: T | null = null;
  private before = OLD;
  private sequence = 0;
  private readonly sent: Sent<T>[] = [];

  /** @param onDisruption called as soon as it is out of service */
  constructor(private readonly onDisruption: (work: T) => void = () => undefined) {}

  /** Does the next thing that it was told to, or leaves it. */
  *act(fate: Fate): Doing<T> {
    if (this.state === 'fenced') return;
    if (this.disruptedBy === null) yield* this.begin(fate);
    else yield* this.goOn(fate);
  }

  /** Sends something that it has sent before. */
  *repeat(index: number): Doing<T> {
    const old = this.sent[index % Math.max(1, this.sent.length)];
    if (old !== undefined) yield old;
  }

  /** A version that was fine turns out bad. */
  *regress(): Doing<T> {
    if (this.disruptedBy !== null || this.state !== 'running' || this.version !== NEW) return;
    if (this.work?.direction !== 'forward') return;
    for (const state of ['rollback_required', 'rolling_back', 'rolled_back', 'idle'] as const)
      yield* this.tell(state);
    this.version = this.before;
  }

  get isFenced(): boolean {
    return this.state === 'fenced';
  }

  /** The latest epoch of which it knows. */
  get epoch(): number {
    return Math.max(this.heard?.epoch ?? 0, this.work?.epoch ?? 0);
  }

  /** Somebody has brought it in order by hand: it runs what it ran before, or what it was to go back to. */
  repair(): void {
    if (this.disruptedBy === 'back') this.version = this.work?.toVersion ?? this.version;
    this.disruptedBy = null;
    this.state = 'idle';
    this.work = null;
  }

  /** What it has staged for another way is of no use. */
  private *begin(fate: Fate): Doing<T> {
    const { heard, work } = this;
    if (heard === null) return;
    const isAnother = (one: T): boolean =>
      one.assignmentId !== heard.assignmentId ||
      one.direction !== heard.direction ||
      one.epoch !== heard.epoch ||
      one.toVersion !== heard.toVersion;
    if (work === null || isAnother(work)) {
      this.work = heard;
      this.state = 'idle';
    }
    if (heard.phase === 'granted' && this.state === 'staging') {
      this.disruptedBy = heard.direction;
      this.onDisruption(heard);
      yield* this.tell('starting');
    } else if (this.state === 'idle' && heard.phase === 'offered') yield* this.prepare(fate);
  }

  private *prepare(fate: Fate): Doing<T> {
    const isBad = fate === 'bad_download';
    for (const state of isBad ? (['checking', 'downloading', 'failed'] as const) : PREPARING)
      yield* this.tell(state);
  }

  private *goOn(fate: Fate): Doing<T> {
    if (fate === 'fenced') yield* this.fence();
    else if (fate === 'unhealthy') yield* this.goBack();
    else yield* this.advance();
  }

  private *advance(): Doing<T> {
    const next = CHANGING[CHANGING.indexOf(this.state) + 1];
    if (next === undefined) return;
    if (next === 'running') {
      this.before = this.version;
      this.version = this.work?.toVersion ?? this.version;
      this.arrivedBy = this.work;
      this.disruptedBy = null;
    }
    yield* this.tell(next);
  }

  private *goBack(): Doing<T> {
    yield* this.tell('rollback_required');
    yield* this.tell('rolling_back');
    this.disruptedBy = null;
    yield* this.tell('rolled_back');
  }

  private *fence(): Doing<T> {
    yield* this.tell('rollback_required');
    yield* this.tell('fenced');
  }

  private *tell(state: NodeUpdateState): Doing<T> {
    this.state = state;
    if (this.work === null) return;
    this.sequence += 1;
    const sent = {
      about: this.work,
      report: { state, epoch: this.work.epoch, attempt: 1, sequence: this.sequence },
    };
    this.sent.push(sent);
    const answer = yield sent;
    if (answer === 'refused' && this.disruptedBy === null) yield* this.startAfresh(sent.about);
  }

  /** What the control plane does not want to hear is given up. */
  private *startAfresh(about: T): Doing<T> {
    this.work = null;
    this.sequence += 1;
    yield { about, report: { state: 'idle', epoch: about.epoch, attempt: 1, sequence: this.sequence } };
  }
}
