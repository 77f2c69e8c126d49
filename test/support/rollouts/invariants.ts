import { type AssignmentState } from '../../../src/modules/rollouts/engine/assignment-state.js';
import { mayFollow } from '../../../src/modules/rollouts/engine/rollout-state.js';
import { rankOf } from '../../../src/modules/rollouts/engine/wave-state.js';
import { expectThat } from './broken-invariant.js';
import { NEW } from './host.js';
import type { WorldNode } from './node.js';
import type { Happening, RolloutWorld } from './world.js';

/** Where every node ends. */
export const ENDS: readonly AssignmentState[] = [
  'ok',
  'rolled_back',
  'failed',
  'fenced',
  'skipped',
  'deferred',
  'lost',
  'decommissioned',
];

/** Looks at the world after each thing that happens. The truth about the nodes is the nodes' own. */
export class Invariants {
  private readonly ranks = new Map<string, number>();
  private seen = 0;

  constructor(
    private readonly world: RolloutWorld,
    private readonly nodes: readonly WorldNode[],
  ) {
    this.oneWaveEach();
  }

  check(): void {
    this.unavailable();
    this.waves();
    this.oneWaveEach();
    for (const happening of this.world.happenings.slice(this.seen)) this.happened(happening);
    this.seen = this.world.happenings.length;
    if (this.world.state === 'rolled_back') this.nobodyLeft();
  }

  private unavailable(): void {
    const out = this.nodes.filter(
      ({ nodeId, disruptedBy }) =>
        disruptedBy !== null && !this.world.isGone(nodeId) && !this.world.isWrittenOff(nodeId),
    );
    expectThat('I1', out.length <= this.world.maxUnavailable, `${out.length} nodes are out of service`);
  }

  private waves(): void {
    const states = new Map(this.world.waves.map(({ name, state }) => [name, state]));
    for (const { name, state, dependsOn } of this.world.waves) {
      const isBegun = state === 'active' || state === 'soaking' || state === 'done';
      const isFirst = dependsOn.every((other) => states.get(other) === 'done');
      expectThat('I2', !isBegun || isFirst, `${name} is ${state} before what it depends on`);
      expectThat('I3', rankOf(state) >= (this.ranks.get(name) ?? 0), `${name} fell back to ${state}`);
      this.ranks.set(name, rankOf(state));
    }
  }

  private oneWaveEach(): void {
    const forward = this.world.forward();
    const nodes = new Set(forward.map(({ nodeId }) => nodeId));
    expectThat('I5', nodes.size === forward.length, 'a node is in several waves');
  }

  private happened(happening: Happening): void {
    if (happening.kind === 'state') {
      const { from, to } = happening;
      expectThat('I4', mayFollow(from, to), `${to} came after ${from}`);
      // Then, and not for ever: who was lost may be heard of again.
      if (to.startsWith('succeeded')) this.everyNodeEnded();
    } else if (happening.kind === 'grant') {
      const { direction, state, isBlocked, nodeId } = happening;
      expectThat('I6', !isBlocked, `${nodeId} was granted a blocked version`);
      const fits = state === (direction === 'forward' ? 'running' : 'rolling_back');
      expectThat('I7', fits, `${nodeId} was granted a slot while ${state}`);
    } else this.proved(happening);
  }

  private proved({ step }: Extract<Happening, { kind: 'step' }>): void {
    if (step.kind !== 'wave' || (step.to !== 'soaking' && step.to !== 'done')) return;
    if (step.rule === 'nothing_planned') return;
    const { minEvidence, successThresholdPercent, failureThresholdPercent } = this.world.setup;
    const wave = this.world.waves.find(({ name }) => name === step.wave);
    const { counted = 0, successes = 0, failures = 0 } = step.evidence ?? {};
    const { accepted, failures: taken } = wave?.acknowledged ?? { accepted: false, failures: 0 };
    const fails = failures * 100 > failureThresholdPercent * counted && failures > taken;
    const proves =
      successes >= minEvidence && successes * 100 >= successThresholdPercent * counted && counted > 0;
    expectThat(
      'I8',
      !fails && (accepted || proves),
      `${step.wave} went on with ${JSON.stringify(step.evidence)}`,
    );
  }

  private nobodyLeft(): void {
    const left = this.world
      .forward()
      .filter(
        ({ nodeId, state, isWrittenOff }) =>
          state !== 'fenced' && !isWrittenOff && !this.world.isGone(nodeId),
      )
      .filter(({ nodeId }) => this.nodes.find((node) => node.nodeId === nodeId)?.version === NEW);
    expectThat(
      'I10',
      left.length === 0,
      `${left.map(({ nodeId }) => nodeId).join(', ')} kept the bad version`,
    );
  }

  private everyNodeEnded(): void {
    const ended = this.world.forward().filter(({ state }) => ENDS.includes(state));
    expectThat('I9', ended.length === this.world.eligible.length, 'a node was passed over');
  }
}
