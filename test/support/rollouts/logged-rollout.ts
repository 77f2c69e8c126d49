import {
  type AssignmentState,
  type Direction,
  mayBecome,
} from '../../../src/modules/rollouts/engine/assignment-state.js';
import { NEXT_NODE_UPDATE_STATES } from '../../../src/modules/rollouts/engine/node-update.js';
import { mayFollow, type RolloutState } from '../../../src/modules/rollouts/engine/rollout-state.js';
import { rankOf, type WaveState } from '../../../src/modules/rollouts/engine/wave-state.js';
import { expectThat } from './broken-invariant.js';
import { ENDS } from './invariants.js';
import type { AssignmentRow, LogRow, PinRow } from './rollout-log.js';

/** The terms by which a wave is judged. */
export interface Terms {
  waves: readonly { name: string; dependsOn: readonly string[] }[];
  minEvidence: number;
  successThresholdPercent: number;
  failureThresholdPercent: number;
}

type Of<K extends LogRow['kind']> = Extract<LogRow, { kind: K }>;
/** An assignment of the log, with whose it is. */
export interface LoggedAssignment extends AssignmentRow {
  nodeId: string;
  direction: Direction;
}

const FAILED: readonly AssignmentState[] = ['rolled_back', 'failed', 'fenced', 'lost'];
const UNCOUNTED: readonly AssignmentState[] = ['deferred', 'skipped', 'cancelled', 'decommissioned'];
const OPEN: readonly AssignmentState[] = ['planned', 'offered', 'granted', 'applying', 'health'];
const DECIDED = new Set(['soaking', 'done']);

/** A rollout as its log tells it, held against the invariants row by row and transaction by transaction. */
export class LoggedRollout {
  state: RolloutState = 'draft';
  readonly assignments = new Map<string, LoggedAssignment>();
  private readonly waves = new Map<string, WaveState>();
  private taken = new Map<string, { failures: number; accepted: boolean }>();

  constructor(
    readonly id: string,
    private readonly terms: Terms,
  ) {
    for (const { name } of terms.waves) this.waves.set(name, 'pending');
  }

  /** @param rows of whole transactions */
  follow(rows: readonly (LogRow | PinRow)[]): void {
    const own = rows.filter((row): row is LogRow => row.rolloutId === this.id);
    for (const row of own) this.see(row, own);
    for (const xid of new Set(own.map((row) => row.xid))) this.told(own.filter((row) => row.xid === xid));
  }

  /** Of one direction. */
  ways(direction: Direction): LoggedAssignment[] {
    return [...this.assignments.values()].filter((each) => each.direction === direction);
  }

  private see(row: LogRow, all: readonly LogRow[]): void {
    if (row.kind === 'assignment') this.assigned(row);
    else if (row.kind === 'wave') this.waveMoved(row, all);
    else if (row.kind === 'rollout') this.moved(row);
    else if (row.kind === 'decision') this.decided(row);
  }

  private assigned({ row }: Of<'assignment'>): void {
    const { id, nodeId, direction, before, after, rolloutState, isBlocked } = row;
    if (before === null) {
      const isTwice = this.ways(direction).some((each) => each.nodeId === nodeId);
      expectThat('I5', !isTwice, `${nodeId} is in the rollout twice`);
    } else this.changed(nodeId, direction, before, after);
    this.assignments.set(id, { nodeId, direction, ...after });
    if (after.state !== 'granted' || before?.state !== 'offered') return;
    expectThat('I6', !isBlocked, `${nodeId} was granted a blocked version`);
    const fits =
      direction === 'forward'
        ? rolloutState === 'running'
        : rolloutState === 'rolling_back' ||
          rolloutState === 'cancelled' ||
          rolloutState.startsWith('succeeded');
    expectThat('I7', fits, `${nodeId} was granted a slot ${direction} while ${rolloutState}`);
  }

  private changed(nodeId: string, direction: Direction, before: AssignmentRow, after: AssignmentRow): void {
    const what = `${nodeId} ${direction}: ${JSON.stringify(before)} became ${JSON.stringify(after)}`;
    // Whom an emergency pin had to leave out, it may lead later: in its only wave.
    const isStill =
      before.wave === (before.wave === null ? null : after.wave) && before.place === after.place;
    expectThat('I15', isStill, `the plan was changed, ${what}`);
    const isAnew = after.epoch > before.epoch;
    expectThat('I13', after.epoch >= before.epoch, what);
    const isEdge =
      before.nodeState === after.nodeState ||
      NEXT_NODE_UPDATE_STATES[before.nodeState].includes(after.nodeState);
    const isLater = after.sequence > before.sequence;
    const isSame = after.sequence === before.sequence && after.nodeState === before.nodeState;
    expectThat('I13', isAnew || isSame || (isLater && isEdge), what);
    // A way back that was tried before begins anew, in another epoch.
    const isBegunAnew = isAnew && direction === 'back' && after.state === 'planned';
    const may = before.state === after.state || mayBecome(before.state, after.state) || isBegunAnew;
    expectThat('states', may, what);
  }

  private waveMoved({ row: { name, from, to, position }, xid }: Of<'wave'>, all: readonly LogRow[]): void {
    expectThat('I3', this.waves.get(name) === from && rankOf(to) >= rankOf(from), `${name}: ${from}, ${to}`);
    this.waves.set(name, to);
    const dependsOn = this.terms.waves[position]?.dependsOn ?? [];
    if (to === 'active' || DECIDED.has(to)) {
      const isFirst = dependsOn.every((other) => this.waves.get(other) === 'done');
      expectThat('I2', isFirst, `${name} is ${to} before what it depends on`);
    }
    if (!DECIDED.has(to)) return;
    const decision = all.find(
      (each) =>
        each.kind === 'decision' && each.xid === xid && each.row.wave === name && each.row.to_state === to,
    ) as Of<'decision'> | undefined;
    if (decision?.row.rule !== 'nothing_planned') this.proved(name, position, to);
  }

  /** By its own count of the assignments, not by what the decision says of them. */
  private proved(name: string, position: number, to: WaveState): void {
    const states = this.ways('forward').flatMap(({ wave, state }) => (wave === position ? [state] : []));
    const counted = states.filter((state) => !UNCOUNTED.includes(state)).length;
    const failures = states.filter((state) => FAILED.includes(state)).length;
    const successes = states.filter((state) => state === 'ok').length;
    const isOpen = states.some((state) => OPEN.includes(state));
    const { minEvidence, successThresholdPercent, failureThresholdPercent } = this.terms;
    const taken = this.taken.get(name) ?? { failures: 0, accepted: false };
    const fails = failures * 100 > failureThresholdPercent * counted && failures > taken.failures;
    const proves =
      counted > 0 && successes >= minEvidence && successes * 100 >= successThresholdPercent * counted;
    const what = `${name} became ${to} with ${states.join(', ')}`;
    expectThat('I8', !isOpen && !fails && (taken.accepted || proves), what);
  }

  private moved({ row: { from, to } }: Of<'rollout'>): void {
    expectThat('I4', this.state === from && mayFollow(from, to), `${to} came after ${from}`);
    this.state = to;
    if (!to.startsWith('succeeded')) return;
    const passedOver = this.ways('forward').filter(({ state }) => !ENDS.includes(state));
    expectThat('I9', passedOver.length === 0, `passed over: ${JSON.stringify(passedOver)}`);
  }

  private decided({ row: { rule, inputs } }: Of<'decision'>): void {
    if (rule !== 'resumed') return;
    for (const { wave, failures, accepted } of inputs.acknowledgements)
      this.taken.set(wave, { failures, accepted });
  }

  /** Each transition has one event in its transaction, and each event a transition. Decisions stand with what they decide. */
  private told(rows: readonly LogRow[]): void {
    const happened: string[] = [];
    const told: string[] = [];
    const decided: string[] = [];
    for (const row of rows) {
      if (row.kind === 'rollout') {
        happened.push(`rollout ${row.row.from} > ${row.row.to}`);
        decided.push(`null ${row.row.from} > ${row.row.to}`);
      } else if (row.kind === 'wave') {
        const { name, from, to } = row.row;
        happened.push(`wave ${name} ${from} > ${to}`);
        if (to !== 'halted') decided.push(`${name} ${from} > ${to}`);
      } else if (row.kind === 'assignment') {
        const { nodeId, before, after } = row.row;
        if (before !== null && before.state !== after.state) happened.push(`node ${nodeId} > ${after.state}`);
      } else if (row.kind === 'audit') told.push(...toldBy(row));
    }
    const records = rows.flatMap((row) => (row.kind === 'decision' ? recordOf(row) : []));
    const same = (one: string[], other: string[]) =>
      JSON.stringify([...one].sort()) === JSON.stringify([...other].sort());
    expectThat('I18', same(happened, told), `happened: ${happened.join('; ')}\ntold: ${told.join('; ')}`);
    expectThat('I18', same(decided, records), `done: ${decided.join('; ')}\ndecided: ${records.join('; ')}`);
  }
}

/** What a decision has moved: nothing, where it only says why something stays. What is paused may be so for another reason. */
function recordOf({ row: { rule, wave, from_state: from, to_state: to } }: Of<'decision'>): string[] {
  if (from === to && !(to === 'paused' && rule === 'version_blocked')) return [];
  return [`${isWaveState(to) ? wave : null} ${from} > ${to}`];
}

function isWaveState(state: string): boolean {
  return ['pending', 'gated', 'active', 'soaking', 'done', 'halted'].includes(state);
}

/** The transitions of which an event tells. */
function toldBy({ row: { action, before, after } }: Of<'audit'>): string[] {
  if (action === 'rollout.nodes_moved')
    return (after.nodeIds as string[]).map((nodeId) => `node ${nodeId} > ${after.state}`);
  if (action === 'rollout.node_reported') return [`node ${after.nodeId} > ${after.state}`];
  if (action === 'rollout.wave_moved') return [`wave ${after.wave} ${before.state} > ${after.state}`];
  return before?.state === undefined ? [] : [`rollout ${before.state} > ${after.state}`];
}
