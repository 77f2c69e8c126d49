import { Injectable } from '@nestjs/common';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { conflict, DomainError, invalid, notFound } from '../../common/errors/domain-error.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import { ReleasesReadModel } from '../releases/releases.read-model.js';
import { type Assignment, phaseOf } from './assignment.js';
import { AssignmentsRepository } from './assignments.repository.js';
import { acceptReport } from './engine/update-report.js';
import { NodeVersionsRepository } from './node-versions.repository.js';
import { ReleaseVersions } from './release-versions.js';
import { about, type Rollout } from './rollout.js';
import { RolloutEngine } from './rollout-engine.js';
import { RolloutNudges } from './rollout-nudges.js';
import { RolloutsRepository } from './rollouts.repository.js';
import type { ReportUpdate, UpdateStateView } from './rollouts.schema.js';
import { SlotsRepository } from './slots.repository.js';
import { ReleasesUnderWayChanged } from './update-events.js';

/** A node that goes on reporting what cannot be is told of once in so many seconds, with how often it did. */
const REFUSAL_SECONDS = 60;

/** Takes in what nodes report of their updates. */
@Injectable()
export class UpdateReportsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly engine: RolloutEngine,
    private readonly rollouts: RolloutsRepository,
    private readonly assignments: AssignmentsRepository,
    private readonly slots: SlotsRepository,
    private readonly versions: NodeVersionsRepository,
    private readonly releases: ReleasesReadModel,
    private readonly members: MembershipsReadModel,
    private readonly nudges: RolloutNudges,
  ) {}

  /** @throws not_found; conflict `stale_report`; invalid `invalid_transition`, which is recorded */
  async report(
    actor: Actor,
    node: NodePrincipal,
    id: string,
    report: ReportUpdate,
  ): Promise<UpdateStateView> {
    try {
      return await this.take(actor, node, id, report);
    } catch (error) {
      if (error instanceof DomainError && error.code === 'invalid_transition')
        await this.recordRefusal(actor, node, id, report);
      throw error;
    }
  }

  private async recordRefusal(
    actor: Actor,
    node: NodePrincipal,
    id: string,
    { state: reported }: ReportUpdate,
  ): Promise<void> {
    await this.transactor.observe(actor, async (tx) => {
      const { nodeId, clusterId, rolloutId, nodeState: state } = await this.own(tx, node, id);
      const refusedReports = await this.assignments.refuseReport(tx, id, REFUSAL_SECONDS);
      const rollout = refusedReports === null ? null : await this.rollouts.find(tx, clusterId, rolloutId);
      if (refusedReports === null || rollout === null) return { result: undefined };
      const after = { nodeId, state, reported, refusedReports };
      const refused = {
        ...about(rollout),
        outcome: 'failed' as const,
        reason: 'invalid_transition',
        action: 'rollout.report_refused' as const,
        before: null,
        after,
      };
      return { result: undefined, events: [refused] };
    });
  }

  private take(
    actor: Actor,
    node: NodePrincipal,
    id: string,
    report: ReportUpdate,
  ): Promise<UpdateStateView> {
    return this.transactor.observe(actor, async (tx) => {
      const seen = await this.own(tx, node, id);
      const held = await this.engine.hold(tx, node.clusterId, seen.rolloutId);
      const known = await this.own(tx, node, id);
      if (held === null) throw noSuchAssignment();
      const outcome = acceptReport(known, report);
      if (outcome.kind === 'stale')
        throw conflict(
          'stale_report',
          'What is reported is older than what is known, or of an epoch that is over.',
          {
            extensions: { epoch: known.epoch, sequence: known.sequence },
          },
        );
      if (outcome.kind === 'invalid')
        throw invalid(
          'invalid_transition',
          `An update that is ${known.nodeState} cannot become ${report.state} now.`,
          {
            extensions: { state: known.nodeState, phase: phaseOf(known) },
          },
        );
      if (outcome.kind === 'repeated') return { result: view(known) };
      const now = await tx.clock(); // after the lock: what held it is earlier
      const message = report.message ?? null;
      const merged: Assignment = { ...known, ...outcome.next, message, reportedAt: now };
      const hasMoved = merged.state !== known.state;
      const next = hasMoved
        ? await this.moved(tx, held.rollout, { ...merged, stateReason: null, stateChangedAt: now })
        : merged;
      await this.assignments.write(tx, next);
      if (outcome.slot === 'release') await this.slots.release(tx, next);
      if (outcome.slot === 'take') await this.slots.take(tx, next);
      if (next.state === 'fenced' && hasMoved) await this.versions.fence(tx, next);
      if (hasMoved) await this.followUp(tx, held.rollout, known, next);
      if (report.state === 'staging') await this.engine.grant(tx, held);
      const current = await this.own(tx, node, id);
      return { result: view(current), events: hasMoved ? [reported(held.rollout, known, next)] : [] };
    });
  }

  private async own(tx: Tx, { clusterId, nodeId }: NodePrincipal, id: string): Promise<Assignment> {
    const assignment = await this.assignments.find(tx, id);
    if (assignment === null || assignment.nodeId !== nodeId || assignment.clusterId !== clusterId)
      throw noSuchAssignment();
    return assignment;
  }

  /** What an assignment is in its new state: at a stop, the next part of the way lies before it. */
  private async moved(tx: Tx, rollout: Rollout, next: Assignment): Promise<Assignment> {
    if (next.state !== 'planned') return next;
    const { clusterId, nodeId, toVersion } = next;
    const versions = new ReleaseVersions(await this.releases.releasesOf(tx, rollout.productId));
    const [subject] = await this.members.updateSubjects(tx, clusterId, [nodeId]);
    const version = subject && versions.for(subject).nextOnPath(toVersion, rollout.targetVersion);
    const release = version === undefined || version === null ? null : versions.find(version);
    if (release === null) return { ...next, state: 'failed', stateReason: 'no_version_path' };
    const isStop = release.version !== rollout.targetVersion;
    await tx.raise(new ReleasesUnderWayChanged(rollout.clusterId));
    return { ...next, toVersion: release.version, toReleaseId: release.releaseId, isStop };
  }

  private async followUp(tx: Tx, rollout: Rollout, known: Assignment, next: Assignment): Promise<void> {
    if (phaseOf(known) !== phaseOf(next)) tx.touch(next.clusterId, [next.nodeId]);
    await this.rollouts.progressed(tx, rollout.id);
    if (next.state === 'ok') await this.remember(tx, next);
    await this.settleOther(tx, next);
    this.nudges.nudge(tx, rollout);
  }

  private async remember(tx: Tx, next: Assignment): Promise<void> {
    if (next.direction === 'back') await this.versions.setGood(tx, next, next.toVersion);
    else if (next.fromVersion !== null) await this.versions.rememberFirst(tx, next, next.fromVersion);
  }

  /** One way is over when the other one has led where it was to lead. */
  private async settleOther(
    tx: Tx,
    { rolloutId, nodeId, direction, state, stateChangedAt }: Assignment,
  ): Promise<void> {
    const ways = await this.assignments.ofNode(tx, rolloutId, nodeId);
    const other = ways.find((way) => way.direction !== direction);
    if (other === undefined) return;
    const to = stateOfOther(direction, state, other);
    if (to === null) return;
    await this.assignments.write(tx, { ...other, state: to, stateChangedAt });
    if (phaseOf(other) !== phaseOf({ state: to })) tx.touch(other.clusterId, [nodeId]);
  }
}

function stateOfOther(
  direction: Assignment['direction'],
  state: Assignment['state'],
  other: Assignment,
): Assignment['state'] | null {
  if (direction === 'back' && other.state === 'ok') {
    if (state === 'ok') return 'rolled_back';
    return state === 'fenced' ? 'fenced' : null;
  }
  const isHome = ['rolled_back', 'failed', 'fenced'].includes(state);
  const isOpen = other.state === 'planned' || other.state === 'offered';
  return direction === 'forward' && isHome && isOpen ? 'cancelled' : null;
}

function reported(rollout: Rollout, before: Assignment, after: Assignment) {
  const shape = ({ nodeId, state }: Assignment) => ({ nodeId, state });
  return {
    ...about(rollout),
    action: 'rollout.node_reported',
    before: shape(before),
    after: shape(after),
  } as const;
}

function view(assignment: Assignment): UpdateStateView {
  const { id, nodeState, attempt, epoch, sequence } = assignment;
  return { assignmentId: id, state: nodeState, attempt, epoch, sequence, phase: phaseOf(assignment) };
}

/** The same for what never was and for what another node was told. */
function noSuchAssignment() {
  return notFound('not_found', 'There is no such assignment of this node.');
}
