import { Inject, Injectable } from '@nestjs/common';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import { conflict, forbidden } from '../../common/errors/domain-error.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { ReleasesReadModel } from '../releases/releases.read-model.js';
import { EmergencyHolds } from './emergency-holds.js';
import { resumption } from './engine/resumption.js';
import type { PauseReason } from './engine/rollout-state.js';
import { ROLLOUT_RULES, type Rules } from './engine/rules.js';
import type { HeldRollout } from './held-rollout.js';
import { about, noSuchRollout, type Rollout, requireEdge, wrongState } from './rollout.js';
import { RolloutApprovals } from './rollout-approvals.js';
import { RolloutEngine } from './rollout-engine.js';
import { RolloutFactsReader } from './rollout-facts-reader.js';
import { type Cause, RolloutMoves } from './rollout-moves.js';
import { RolloutViews } from './rollout-views.js';
import { RolloutsRepository } from './rollouts.repository.js';
import type { RolloutView } from './rollouts.schema.js';
import { WavesRepository } from './waves.repository.js';

/** What people decide about a rollout. What follows from it happens in the same transaction. */
@Injectable()
export class RolloutDecisionsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly engine: RolloutEngine,
    private readonly moves: RolloutMoves,
    private readonly facts: RolloutFactsReader,
    private readonly rollouts: RolloutsRepository,
    private readonly waves: WavesRepository,
    private readonly approvals: RolloutApprovals,
    private readonly releases: ReleasesReadModel,
    private readonly views: RolloutViews,
    private readonly holds: EmergencyHolds,
    @Inject(ROLLOUT_RULES) private readonly rules: Rules,
  ) {}

  /** Asks for approval; where the policy wants none, it has it. @throws not_found; conflict */
  submit(actor: Actor, clusterId: string, id: string): Promise<RolloutView> {
    return this.decide(actor, clusterId, id, async (tx, { rollout }) => {
      requireEdge(rollout, 'pending_approval');
      const submitted = await this.moves.enter(tx, rollout, 'pending_approval', byOperator('submitted'));
      const approved = await this.approvals.complete(tx, await this.again(tx, rollout));
      if (approved !== null) tx.audit(approved);
      return submitted;
    });
  }

  /** @throws not_found; conflict; forbidden `author_may_not_approve` */
  approve(actor: Actor, clusterId: string, id: string): Promise<RolloutView> {
    return this.decide(actor, clusterId, id, (tx, held) => this.giveApproval(tx, actor, held));
  }

  /** The same for whoever holds the rollout; null: they have approved it already. */
  async giveApproval(
    tx: Tx,
    actor: Actor,
    { rollout }: Pick<HeldRollout, 'rollout'>,
  ): Promise<AuditEvent | null> {
    if (rollout.state !== 'pending_approval')
      throw wrongState(rollout, `A rollout that is ${rollout.state} waits for no approval.`);
    if (rollout.createdByType === actor.type && rollout.createdById === actor.id)
      throw forbidden('author_may_not_approve', 'Another person than its author approves a rollout.');
    if (!(await this.rollouts.approve(tx, actor, rollout))) return null;
    const approved = await this.approvals.complete(tx, rollout);
    if (approved !== null) tx.audit(approved);
    const after = { planHash: rollout.planHash };
    return { ...about(rollout), action: 'rollout.approval_given', before: null, after };
  }

  /** @throws not_found; conflict `rollout_state_conflict`, `rollout_in_progress`, `release_not_approved`, `release_blocked` */
  start(actor: Actor, clusterId: string, id: string): Promise<RolloutView> {
    return this.decide(actor, clusterId, id, (tx, held) => this.begin(tx, held));
  }

  /** The same for whoever holds the rollout. */
  async begin(tx: Tx, { rollout }: Pick<HeldRollout, 'rollout'>): Promise<AuditEvent> {
    if (rollout.state === 'paused') throw wrongState(rollout, 'A paused rollout is resumed.');
    requireEdge(rollout, 'running');
    const { approvals, rolloutApprovals } = await this.approvals.count(tx, rollout);
    if (rollout.state === 'draft' && rolloutApprovals > 0)
      throw wrongState(rollout, 'The policy of the cluster asks for approvals first.');
    if (approvals < rolloutApprovals)
      throw wrongState(rollout, 'The policy of the cluster asks for more approvals now.');
    await this.requireUsable(tx, rollout);
    const waves = await this.waves.list(tx, [rollout.id]);
    const isEmergency = rollout.kind === 'emergency';
    if (!isEmergency && waves.every(({ plannedMembers }) => plannedMembers === 0))
      throw wrongState(rollout, 'The rollout is for no node.');
    const started = await this.moves.enter(tx, rollout, 'running', byOperator('started'));
    if (isEmergency) await this.holds.takeOver(tx, rollout);
    return started;
  }

  /** @throws not_found; conflict */
  pause(actor: Actor, clusterId: string, id: string): Promise<RolloutView> {
    return this.decide(actor, clusterId, id, (tx, { rollout }) => {
      if (rollout.state !== 'running')
        throw wrongState(rollout, `A rollout that is ${rollout.state} cannot be paused.`);
      return this.moves.enter(tx, rollout, 'paused', { rule: 'operator', reason: 'operator' });
    });
  }

  /** @throws not_found; conflict `rollout_state_conflict`, `acknowledgement_required`, `release_blocked` */
  resume(actor: Actor, clusterId: string, id: string, acknowledge: string | null): Promise<RolloutView> {
    return this.decide(actor, clusterId, id, async (tx, { rollout, usableReleaseIds }) => {
      if (rollout.state !== 'paused')
        throw wrongState(rollout, `A rollout that is ${rollout.state} is not paused.`);
      const isBlocked = !usableReleaseIds.includes(rollout.releaseId);
      const facts = await this.facts.read(tx, rollout, isBlocked);
      const isAcknowledged = acknowledge !== null && acknowledge === rollout.pausedByDecisionId;
      const answer = resumption(facts, rollout.stateReason as PauseReason, isAcknowledged, this.rules);
      // Also where that was not what paused it.
      if (answer.kind === 'not_cleared' && isBlocked)
        throw conflict('release_blocked', `Version ${rollout.targetVersion} is blocked.`);
      if (answer.kind === 'not_cleared')
        throw wrongState(rollout, 'The cause of the pause is still there, and has to go first.');
      if (answer.kind === 'not_acknowledged') {
        const extensions = { stateReason: rollout.stateReason, decisionId: rollout.pausedByDecisionId };
        const message =
          'The cause of the pause is still there: name the decision that paused it in acknowledge.';
        throw conflict('acknowledgement_required', message, { extensions });
      }
      await this.waves.acknowledge(tx, id, answer.acknowledgements);
      const inputs = { acknowledge, acknowledgements: answer.acknowledgements };
      return this.moves.enter(tx, rollout, 'running', { ...byOperator('resumed'), inputs });
    });
  }

  /** @throws not_found; conflict `rollout_state_conflict`, `rollout_in_progress`, `downgrade_not_possible` */
  rollback(actor: Actor, clusterId: string, id: string): Promise<RolloutView> {
    return this.decide(actor, clusterId, id, (tx, { rollout }) => {
      requireEdge(rollout, 'rolling_back');
      if (!rollout.downgradePossible)
        throw conflict('downgrade_not_possible', 'A migration of the version cannot be undone.');
      return this.moves.enter(tx, rollout, 'rolling_back', { rule: 'operator', reason: 'operator' });
    });
  }

  /** @throws not_found; conflict */
  cancel(actor: Actor, clusterId: string, id: string): Promise<RolloutView> {
    return this.decide(actor, clusterId, id, (tx, { rollout }) => {
      requireEdge(rollout, 'cancelled');
      return this.moves.enter(tx, rollout, 'cancelled', byOperator('cancelled'));
    });
  }

  /** @throws not_found; conflict */
  approveWave(actor: Actor, clusterId: string, id: string, name: string): Promise<RolloutView> {
    return this.decide(actor, clusterId, id, async (tx, { rollout }) => {
      const wave = (await this.waves.list(tx, [id])).find((each) => each.name === name);
      if (wave === undefined) throw noSuchRollout();
      if (wave.approvedAt !== null) return null;
      const waits = wave.requiresApproval && (wave.state === 'pending' || wave.state === 'gated');
      if (!waits || rollout.finishedAt !== null) throw wrongState(rollout, 'The wave waits for no approval.');
      await this.waves.approve(tx, id, name);
      return { ...about(rollout), action: 'rollout.wave_approved', before: null, after: { wave: name } };
    });
  }

  /** @param work returns its event; null: it had been decided so before */
  private decide(
    actor: Actor,
    clusterId: string,
    id: string,
    work: (tx: Tx, held: HeldRollout) => Promise<AuditEvent | null>,
  ): Promise<RolloutView> {
    return this.transactor.mutateDirect(actor, async (tx) => {
      const held = await this.engine.hold(tx, clusterId, id);
      if (held === null) throw noSuchRollout();
      const event = await work(tx, held);
      // Held again: a way back leads to other releases.
      const next = event === null ? null : await this.engine.hold(tx, clusterId, id, { waits: false });
      if (next !== null) await this.engine.advance(tx, next);
      const [view] = await this.views.of(tx, [await this.again(tx, held.rollout)]);
      const result = view as RolloutView;
      return event === null ? { result, unchanged: true } : { result, events: [event] };
    });
  }

  private async requireUsable(tx: Tx, { releaseId, targetVersion }: Rollout): Promise<void> {
    const release = await this.releases.hold(tx, releaseId);
    if (release?.isBlocked === true)
      throw conflict('release_blocked', `Version ${targetVersion} is blocked.`);
    if (release?.isApproved !== true)
      throw conflict('release_not_approved', `Version ${targetVersion} is not approved.`);
  }

  private async again(tx: Tx, { clusterId, id }: Rollout): Promise<Rollout> {
    const rollout = await this.rollouts.find(tx, clusterId, id);
    if (rollout === null) throw noSuchRollout();
    return rollout;
  }
}

function byOperator(rule: string): Cause {
  return { rule, reason: null };
}
