import {
  type AssignmentState,
  countStates,
  DISRUPTIVE_STATES,
  type Direction,
  isOneOf,
  mayBecome,
  OPEN_STATES,
} from '../../../src/modules/rollouts/engine/assignment-state.js';
import { nextStep } from '../../../src/modules/rollouts/engine/evaluation.js';
import { planRollout } from '../../../src/modules/rollouts/engine/plan.js';
import { resumption } from '../../../src/modules/rollouts/engine/resumption.js';
import type { RolloutFacts, Step, WaveFacts } from '../../../src/modules/rollouts/engine/rollout-facts.js';
import {
  mayFollow,
  type PauseReason,
  type RolloutState,
} from '../../../src/modules/rollouts/engine/rollout-state.js';
import type { Rules } from '../../../src/modules/rollouts/engine/rules.js';
import { offerLimit } from '../../../src/modules/rollouts/engine/slots.js';
import {
  acceptReport,
  type ReportedUpdate,
  type UpdateReport,
} from '../../../src/modules/rollouts/engine/update-report.js';
import type { WaveShare } from '../../../src/modules/rollouts/engine/wave-shares.js';
import { type WaveState } from '../../../src/modules/rollouts/engine/wave-state.js';
import { wayBack } from '../../../src/modules/rollouts/engine/way-back.js';
import { NEW, OLD, type Told } from './host.js';

/** What a history begins with. */
export interface Setup {
  platforms: readonly string[];
  waves: readonly {
    name: string;
    dependsOn: readonly string[];
    share: WaveShare;
    soakSeconds: number;
    requiresApproval: boolean;
  }[];
  maxUnavailable: number;
  successThresholdPercent: number;
  failureThresholdPercent: number;
  minEvidence: number;
  autoRollback: boolean;
  downgradePossible: boolean;
  /** The new version can be reached from the old one only over another. */
  hasFloor?: boolean;
  /** There is a third version, and pins need so many approvals. */
  pinApprovals?: number;
}

interface Assignment extends ReportedUpdate {
  nodeId: string;
  direction: Direction;
  wave: string;
  toVersion: string;
  changedAt: number;
  isWrittenOff: boolean;
}

/** Something that happened, as the decision records and the log tell it. */
export type Happening =
  | { kind: 'step'; step: Step; from: RolloutState }
  | { kind: 'grant'; nodeId: string; direction: Direction; state: RolloutState; isBlocked: boolean }
  | { kind: 'state'; from: RolloutState; to: RolloutState };

const START = Date.parse('2027-01-01T00:00:00Z');
const DEADLINE_SECONDS = 600;

/** The control plane as far as one rollout goes: rows in memory, and for the rest the engine. */
export class RolloutWorld {
  now = START;
  state: RolloutState = 'running';
  reason: string | null = null;
  isBlocked = false;
  readonly waves: WaveFacts[];
  readonly assignments: Assignment[] = [];
  readonly slots = new Set<string>();
  readonly offline = new Set<string>();
  readonly happenings: Happening[] = [];
  readonly eligible: string[];
  private readonly gone = new Set<string>();
  private runningSince = START;
  private lastProgressAt = START;
  private decision = 0;

  constructor(
    readonly setup: Setup,
    private readonly rules: Rules,
  ) {
    const nodes = setup.platforms.map((platform, index) => ({ nodeId: `node-${index}`, platform }));
    const plan = planRollout(
      {
        targetVersion: NEW,
        salt: 'salt',
        candidates: nodes.map((node) => ({ ...node, installed: OLD, lastKnownGood: OLD, obstacle: null })),
        waves: setup.waves,
        versionsFor: () => ({
          release: (version) => ({
            version,
            isApproved: true,
            isBlocked: false,
            platforms: new Set(setup.platforms),
            downgradePossible: setup.downgradePossible,
          }),
          nextOnPath: (_, to) => to,
        }),
      },
      rules,
    );
    this.waves = setup.waves.map(({ name, dependsOn, soakSeconds, requiresApproval }, index) => ({
      name,
      dependsOn,
      soakSeconds,
      state: 'pending',
      requiresApproval,
      isApproved: false,
      plannedMembers: plan.waves[index]?.nodes.length ?? 0,
      soakedMs: 0,
      soakingSince: null,
      counts: countStates([]),
      acknowledged: { failures: 0, accepted: false },
    }));
    for (const { name, nodes: members } of plan.waves)
      for (const { nodeId } of members) this.assign(nodeId, 'forward', name, NEW);
    this.eligible = [...new Set(this.assignments.map(({ nodeId }) => nodeId))];
  }

  get maxUnavailable(): number {
    return this.setup.maxUnavailable;
  }

  pass(seconds: number): void {
    this.now += seconds * 1_000;
  }

  /** One run of the worker. */
  tick(): void {
    this.giveUpOnSilent();
    this.noticeOffline();
    for (;;) {
      const step = nextStep(this.facts(), this.rules);
      if (step === null) break;
      this.take(step);
    }
    this.offer();
    this.grant();
  }

  told(nodeId: string): Told | null {
    const forward = this.of(nodeId, 'forward');
    const back = this.of(nodeId, 'back');
    const isUnderWay = forward !== undefined && isOneOf(DISRUPTIVE_STATES, forward.state);
    const current = back !== undefined && !isUnderWay && isOneOf(OPEN_STATES, back.state) ? back : forward;
    if (current === undefined || current.state === 'planned' || !isOneOf(OPEN_STATES, current.state))
      return null;
    const { direction, epoch, toVersion } = current;
    return { direction, epoch, toVersion, phase: current.state === 'offered' ? 'offered' : 'granted' };
  }

  report(nodeId: string, direction: Direction, report: UpdateReport): 'accepted' | 'refused' {
    const known = this.of(nodeId, direction);
    if (known === undefined || this.gone.has(nodeId)) return 'refused';
    const outcome = acceptReport(known, report);
    if (outcome.kind !== 'accepted') return outcome.kind === 'repeated' ? 'accepted' : 'refused';
    const { state, ...mark } = outcome.next;
    Object.assign(known, mark);
    if (outcome.slot === 'release') this.slots.delete(nodeId);
    if (outcome.slot === 'take') this.slots.add(nodeId);
    this.become(known, state);
    if (report.state === 'staging') this.grant();
    return 'accepted';
  }

  epochOf(nodeId: string, direction: Direction): number {
    return this.of(nodeId, direction)?.epoch ?? 0;
  }

  pause(): void {
    if (this.state === 'running') this.enter('paused', 'operator');
  }

  resume(acknowledge: boolean): void {
    if (this.state !== 'paused') return;
    const result = resumption(this.facts(), this.reason as PauseReason, acknowledge);
    if (result.kind !== 'resumed') return;
    for (const { wave, failures, accepted } of result.acknowledgements)
      this.wave(wave).acknowledged = { failures, accepted };
    this.enter('running', null);
  }

  rollback(): void {
    if (this.setup.downgradePossible && mayFollow(this.state, 'rolling_back'))
      this.enter('rolling_back', 'operator');
  }

  cancel(): void {
    if (mayFollow(this.state, 'cancelled')) this.enter('cancelled', null);
  }

  /** Of each wave that waits for it. */
  approve(): void {
    for (const wave of this.waves) if (wave.state === 'gated') wave.isApproved = true;
  }

  block(): void {
    this.isBlocked = true;
  }

  unblock(): void {
    this.isBlocked = false;
  }

  decommission(nodeId: string): void {
    this.gone.add(nodeId);
    this.slots.delete(nodeId);
    for (const each of this.assignments) if (each.nodeId === nodeId) this.become(each, 'decommissioned');
  }

  writeOff(nodeId: string): void {
    for (const each of this.assignments) {
      if (each.nodeId !== nodeId || each.state !== 'lost') continue;
      each.isWrittenOff = true;
      each.epoch += 1;
      this.slots.delete(nodeId);
    }
  }

  unfence(nodeId: string): void {
    for (const each of this.assignments) {
      if (each.nodeId !== nodeId || each.state !== 'fenced' || each.nodeState !== 'fenced') continue;
      each.epoch += 1;
      each.nodeState = 'idle';
      this.slots.delete(nodeId);
    }
  }

  isGone(nodeId: string): boolean {
    return this.gone.has(nodeId);
  }

  isWrittenOff(nodeId: string): boolean {
    return this.assignments.some((each) => each.nodeId === nodeId && each.isWrittenOff);
  }

  forward(): Assignment[] {
    return this.assignments.filter(({ direction }) => direction === 'forward');
  }

  private facts(): RolloutFacts {
    const back = this.assignments.filter(({ direction }) => direction === 'back');
    const stuck = [...this.slots].filter((nodeId) => this.isStuck(nodeId)).length;
    return {
      ...this.setup,
      thresholds: this.setup,
      state: this.state,
      pauseReason: this.state === 'paused' ? (this.reason as PauseReason) : null,
      now: new Date(this.now),
      progressDeadlineSeconds: 2 * DEADLINE_SECONDS,
      isBlocked: this.isBlocked,
      windowOpen: true,
      leadsOn: false,
      held: [],
      runningSince: new Date(this.runningSince),
      lastProgressAt: new Date(this.lastProgressAt),
      slots: { held: this.slots.size, stuck },
      waves: this.waves.map((wave) => ({ ...wave, counts: this.countsOf(wave.name) })),
      openBack: back.filter(({ state }) => isOneOf(OPEN_STATES, state) || state === 'lost').length,
      onBadVersion: this.forward().filter(({ state, isWrittenOff }) => isOnBadVersion(state, isWrittenOff))
        .length,
    };
  }

  private isStuck(nodeId: string): boolean {
    return this.assignments.some(
      (each) => each.nodeId === nodeId && (each.state === 'lost' || each.state === 'fenced'),
    );
  }

  private countsOf(wave: string) {
    return countStates(this.forward().flatMap((each) => (each.wave === wave ? [each.state] : [])));
  }

  private take(step: Step): void {
    this.happenings.push({ kind: 'step', step, from: this.state });
    if (step.kind === 'wave') this.moveWave(this.wave(step.wave), step.to);
    else this.enter(step.to, step.reason);
  }

  private moveWave(wave: WaveFacts, to: WaveState): void {
    wave.state = to;
    if (to === 'soaking') wave.soakingSince = new Date(this.now);
    this.lastProgressAt = this.now;
  }

  private enter(to: RolloutState, reason: string | null): void {
    this.happenings.push({ kind: 'state', from: this.state, to });
    this.state = to;
    this.reason = reason;
    this.decision += 1;
    if (to === 'running' || to === 'rolling_back') {
      this.runningSince = this.now;
      this.lastProgressAt = this.now;
    }
    if (to === 'rolling_back' || to === 'cancelled') this.stopForward();
    if (to === 'rolling_back') this.beginWayBack();
  }

  private stopForward(): void {
    for (const each of this.forward())
      if (isOneOf(['planned', 'offered', 'deferred'], each.state)) this.become(each, 'cancelled');
    for (const wave of this.waves)
      if (wave.state === 'active' || wave.state === 'soaking') wave.state = 'halted';
  }

  private beginWayBack(): void {
    for (const { nodeId, wave, state, isWrittenOff } of this.forward()) {
      const known = this.of(nodeId, 'back');
      if (known !== undefined && isOneOf(OPEN_STATES, known.state)) continue;
      const way = wayBack({
        state,
        isWrittenOff,
        badVersion: NEW,
        lastKnownGood: OLD,
        isLastKnownGoodUsable: true,
      });
      if (way.kind === 'to' && known === undefined) this.assign(nodeId, 'back', wave, way.version);
    }
  }

  private giveUpOnSilent(): void {
    for (const each of this.assignments) {
      const isSilent = this.now - each.changedAt > DEADLINE_SECONDS * 1_000;
      if (!isSilent || !isOneOf(DISRUPTIVE_STATES, each.state)) continue;
      this.become(each, 'lost');
      if (!this.rules.keepsSlot('lost')) this.slots.delete(each.nodeId);
    }
  }

  private noticeOffline(): void {
    if (this.state !== 'running' && this.state !== 'paused') return;
    for (const each of this.forward()) {
      const isOffline = this.offline.has(each.nodeId);
      if (isOffline && isOneOf(['planned', 'offered'], each.state)) this.become(each, 'deferred');
      if (!isOffline && each.state === 'deferred') this.become(each, 'planned');
    }
  }

  private offer(): void {
    const direction = this.state === 'rolling_back' ? 'back' : 'forward';
    if (this.state !== 'running' && this.state !== 'rolling_back') return;
    if (this.isBlocked && direction === 'forward') return;
    let left = offerLimit(this.maxUnavailable);
    for (const each of this.assignments) {
      if (left === 0 || each.direction !== direction || each.state !== 'planned') continue;
      if (direction === 'forward' && !['active', 'soaking', 'done'].includes(this.wave(each.wave).state))
        continue;
      if (direction === 'back' && this.of(each.nodeId, 'forward')?.state !== 'ok') continue;
      this.become(each, 'offered');
      left -= 1;
    }
  }

  private grant(): void {
    for (const each of this.assignments) {
      if (each.state !== 'offered' || each.nodeState !== 'staging') continue;
      const { direction, nodeId } = each;
      const isBlocked = direction === 'forward' && this.isBlocked;
      const facts = { rolloutState: this.state, direction, isBlocked, windowOpen: true };
      if (!this.rules.mayGrant(facts)) continue;
      if (this.slots.has(nodeId)) continue;
      if (this.rules.freeSlots(this.slots.size, this.maxUnavailable, direction) === 0) continue;
      this.slots.add(nodeId);
      this.happenings.push({ kind: 'grant', nodeId, direction, state: this.state, isBlocked });
      this.become(each, 'granted');
    }
  }

  private assign(nodeId: string, direction: Direction, wave: string, toVersion: string): void {
    this.assignments.push({
      nodeId,
      direction,
      wave,
      toVersion,
      state: 'planned',
      nodeState: 'idle',
      isStop: false,
      retriesLeft: 0,
      epoch: 1,
      attempt: 1,
      sequence: 0,
      changedAt: this.now,
      isWrittenOff: false,
    });
  }

  private become(each: Assignment, to: AssignmentState): void {
    if (each.state === to) return;
    if (!mayBecome(each.state, to)) throw new Error(`an assignment went from ${each.state} to ${to}`);
    each.state = to;
    each.changedAt = this.now;
    this.lastProgressAt = this.now;
    this.settleOther(each);
  }

  /** One way is over when the other one has led where it was to lead. */
  private settleOther({ nodeId, direction, state }: Assignment): void {
    const other = this.of(nodeId, direction === 'back' ? 'forward' : 'back');
    if (other === undefined) return;
    if (direction === 'back' && state === 'ok' && other.state !== 'rolled_back')
      this.become(other, 'rolled_back');
    if (direction === 'back' && state === 'fenced' && other.state === 'ok') this.become(other, 'fenced');
    const isHome = ['rolled_back', 'failed', 'fenced'].includes(state);
    if (direction === 'forward' && isHome && isOneOf(['planned', 'offered'], other.state))
      this.become(other, 'cancelled');
  }

  private of(nodeId: string, direction: Direction): Assignment | undefined {
    return this.assignments.find((each) => each.nodeId === nodeId && each.direction === direction);
  }

  private wave(name: string): WaveFacts {
    const wave = this.waves.find((each) => each.name === name);
    if (wave === undefined) throw new Error(`there is no wave ${name}`);
    return wave;
  }
}

function isOnBadVersion(state: AssignmentState, isWrittenOff: boolean): boolean {
  return !isWrittenOff && (isOneOf(DISRUPTIVE_STATES, state) || state === 'ok' || state === 'lost');
}
