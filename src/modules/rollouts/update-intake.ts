import { Injectable } from '@nestjs/common';
import type { AuditCircumstances, CausedEvent } from '../../common/audit/audit-writer.js';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { Database } from '../../common/database/database.js';
import { conflict, type DomainError, invalid, notFound } from '../../common/errors/domain-error.js';
import { systemActor } from '../../common/request/actor.js';
import { type Observed, Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import { ReleasesReadModel } from '../releases/releases.read-model.js';
import { type Assignment, phaseOf } from './assignment.js';
import { AssignmentsRepository, type Moved } from './assignments.repository.js';
import { goesOn } from './engine/assignment-state.js';
import { acceptReport, type SlotEffect } from './engine/update-report.js';
import { NodeVersionsRepository } from './node-versions.repository.js';
import { IN_BRIEF } from './portions.js';
import { ReleaseVersions } from './release-versions.js';
import { about, type Rollout } from './rollout.js';
import { RolloutEngine } from './rollout-engine.js';
import { RolloutMoves } from './rollout-moves.js';
import { RolloutsRepository } from './rollouts.repository.js';
import type { ReportUpdate, UpdateStateView } from './rollouts.schema.js';
import { SlotGrants } from './slot-grants.js';
import { SlotsRepository } from './slots.repository.js';
import { ReleasesUnderWayChanged } from './update-events.js';

/** Assignments of which this process remembers the rollout: some ten megabytes. */
const REMEMBERED = 50_000;

/** What a node has said of an assignment. */
export interface SentReport {
  by: AuditCircumstances;
  node: NodePrincipal;
  assignmentId: string;
  report: ReportUpdate;
}

/** What it is answered. */
export type Answered = { view: UpdateStateView } | { refusal: DomainError };

/** A report that counts. */
interface Taken {
  sent: SentReport;
  known: Assignment;
  next: Assignment;
  slot: SlotEffect;
}

/**
 * Takes in what many nodes report at the same time: for each rollout in one transaction, under the lock of its product, by
 * as many statements as one report would take. What follows from it is done in the same transaction.
 */
@Injectable()
export class UpdateIntake {
  /** Rollouts by assignment; that of an assignment never changes. */
  private readonly remembered = new Map<string, string>();

  constructor(
    private readonly transactor: Transactor,
    private readonly database: Database,
    private readonly engine: RolloutEngine,
    private readonly grants: SlotGrants,
    private readonly rollouts: RolloutsRepository,
    private readonly assignments: AssignmentsRepository,
    private readonly slots: SlotsRepository,
    private readonly versions: NodeVersionsRepository,
    private readonly releases: ReleasesReadModel,
    private readonly members: MembershipsReadModel,
    private readonly moves: RolloutMoves,
  ) {}

  /** @param sent each of another assignment. @returns answers by assignment */
  async take(sent: readonly SentReport[]): Promise<Map<string, Answered>> {
    const rolloutOf = await this.rolloutsOf(sent.map(({ assignmentId }) => assignmentId));
    const answers = new Map<string, Answered>();
    const byRollout = new Map<string, SentReport[]>();
    for (const each of sent) {
      const rolloutId = rolloutOf.get(each.assignmentId);
      if (rolloutId === undefined) answers.set(each.assignmentId, { refusal: noSuchAssignment() });
      else byRollout.set(rolloutId, [...(byRollout.get(rolloutId) ?? []), each]);
    }
    const taken = await Promise.all([...byRollout].map(([id, group]) => this.takeOf(id, group)));
    for (const group of taken) for (const [id, answer] of group) answers.set(id, answer);
    return answers;
  }

  private async rolloutsOf(ids: readonly string[]): Promise<Map<string, string>> {
    const known = new Map<string, string>();
    for (const id of ids) {
      const rolloutId = this.remembered.get(id);
      if (rolloutId !== undefined) known.set(id, rolloutId);
    }
    const unknown = ids.filter((id) => !known.has(id));
    if (unknown.length === 0) return known;
    const query: Database['query'] = (statement) => this.database.queryPrepared(statement);
    const found = await this.assignments.rolloutsOf(query, unknown);
    if (this.remembered.size + found.size > REMEMBERED) this.remembered.clear();
    for (const [id, rolloutId] of found) this.remembered.set(id, rolloutId);
    return new Map([...known, ...found]);
  }

  private takeOf(rolloutId: string, sent: readonly SentReport[]): Promise<Map<string, Answered>> {
    const ids = sent.map(({ assignmentId }) => assignmentId);
    const work = async (tx: Tx): Promise<Observed<Map<string, Answered>>> => {
      const answers = new Map<string, Answered>();
      const [held, rows] = await Promise.all([
        this.engine.hold(tx, sent[0]?.node.clusterId ?? '', rolloutId),
        // As they are after the lock.
        this.assignments.findAll(tx, ids),
      ]);
      const known = new Map(rows.map((each) => [each.id, each]));
      const judged = sent.flatMap((each): Taken[] => {
        const verdict =
          held === null ? noSuchAssignment() : judge(each, known.get(each.assignmentId), held.now);
        if (verdict === null) return [];
        if ('next' in verdict) return [verdict];
        answers.set(each.assignmentId, { refusal: verdict });
        return [];
      });
      if (held === null || judged.length === 0) return { result: withViews(answers, known.values()) };
      const { rollout } = held;
      const taken = await this.onTheirWay(tx, rollout, judged);
      const moved = taken.filter(hasMoved);
      const caused = moved.map((each) => reported(rollout, each));
      this.write(tx, rollout, taken);
      if (!moved.some(isDecisive)) {
        if (moved.length > 0) this.rollouts.progressed(tx, rollout.id);
        const isAsking = taken.some(({ next }) => next.nodeState === 'staging');
        const granted = isAsking ? await this.grants.grant(tx, held) : [];
        const all = [...taken.map(({ next }) => next), ...known.values()];
        return { result: withViews(answers, afterGrants(all, granted)), caused };
      }
      await this.followUp(tx, rollout, moved);
      await this.engine.advance(tx, held, { portions: IN_BRIEF });
      tx.confirm(this.assignments.findAll(tx, ids).then((current) => withViews(answers, current)));
      return { result: answers, caused };
    };
    return this.transactor.observe(systemActor('rollouts'), work, { prepares: true });
  }

  private write(tx: Tx, rollout: Rollout, taken: readonly Taken[]): void {
    const all = taken.map(({ next }) => next);
    const withSlot = (effect: SlotEffect) =>
      taken.filter(({ slot }) => slot === effect).map(({ next }) => next);
    const released = withSlot('release').map(({ nodeId }) => nodeId);
    this.assignments.write(tx, all);
    this.slots.release(tx, rollout, released);
    this.slots.take(tx, withSlot('take'));
  }

  /** What assignments are in their new state: at a stop, the next part of the way lies before the node. */
  private async onTheirWay(tx: Tx, rollout: Rollout, taken: readonly Taken[]): Promise<Taken[]> {
    const stopping = new Set(taken.filter((each) => hasMoved(each) && each.next.state === 'planned'));
    if (stopping.size === 0) return [...taken];
    const { clusterId, productId, targetVersion } = rollout;
    await tx.raise(new ReleasesUnderWayChanged(clusterId));
    const versions = new ReleaseVersions(await this.releases.releasesOf(tx, productId));
    const nodeIds = [...stopping].map(({ next }) => next.nodeId);
    const members = await this.members.updateSubjects(tx, clusterId, nodeIds);
    const subjects = new Map(members.map((member) => [member.nodeId, member]));
    const wayOf = ({ nodeId, toVersion: fromVersion }: Assignment) => {
      const subject = subjects.get(nodeId);
      return subject === undefined ? [] : versions.wayOf({ ...subject, fromVersion }, targetVersion);
    };
    const ahead = new Set([...stopping].flatMap(({ next }) => wayOf(next)));
    // What was to come next may have been blocked since.
    if (!versions.canUndo(ahead)) await this.rollouts.giveUpDowngrade(tx, rollout.id);
    return taken.map((each) => {
      if (!stopping.has(each)) return each;
      const [version] = wayOf(each.next);
      const release = version === undefined ? null : versions.find(version);
      const next: Assignment =
        release === null
          ? { ...each.next, state: 'failed', stateReason: 'no_version_path' }
          : {
              ...each.next,
              stepFrom: each.next.toVersion,
              toVersion: release.version,
              toReleaseId: release.releaseId,
              isStop: release.version !== targetVersion,
            };
      return { ...each, next };
    });
  }

  private async followUp(tx: Tx, rollout: Rollout, moved: readonly Taken[]): Promise<void> {
    const next = moved.map((each) => each.next);
    const fenced = next.filter(({ state }) => state === 'fenced');
    const arrived = next.filter(({ state }) => state === 'ok');
    const isNew = ({ direction, fromVersion }: Assignment) => direction === 'forward' && fromVersion !== null;
    const wentBack = arrived.filter(({ direction }) => direction === 'back');
    const nodeIds = arrived.map(({ nodeId }) => nodeId);
    this.versions.fence(tx, fenced);
    this.versions.setGood(tx, wentBack);
    this.versions.rememberFirst(tx, arrived.filter(isNew));
    this.rollouts.progressed(tx, rollout.id);
    await Promise.all([
      this.settleOthers(tx, rollout, next),
      // Ways of other rollouts.
      nodeIds.length > 0 ? this.moves.endWaysBack(tx, rollout, nodeIds) : null,
    ]);
    const touched = moved.filter(({ known, next: after }) => phaseOf(known) !== phaseOf(after));
    if (touched.length > 0)
      tx.touch(
        rollout.clusterId,
        touched.map(({ next: { nodeId } }) => nodeId),
      );
  }

  /** One way is over when the other one has led where it was to lead. */
  private async settleOthers(tx: Tx, rollout: Rollout, moved: readonly Assignment[]): Promise<void> {
    const byNode = new Map(moved.map((each) => [each.nodeId, each]));
    const ways = await this.assignments.ofNodes(tx, rollout.id, [...byNode.keys()]);
    const settled = ways.flatMap((known) => {
      const one = byNode.get(known.nodeId);
      if (one === undefined || one.direction === known.direction) return [];
      const state = stateOfOther(one.direction, one.state, known);
      return state === null ? [] : [{ known, next: { ...known, state, stateChangedAt: one.stateChangedAt } }];
    });
    this.assignments.write(
      tx,
      settled.map(({ next }) => next),
    );
    for (const state of new Set(settled.map(({ next }) => next.state))) {
      const same = settled.filter(({ next }) => next.state === state);
      const others = same.map(({ known }) => ({ nodeId: known.nodeId, from: known.state }));
      this.moves.tell(tx, rollout, others, state);
    }
  }
}

/** null: it was said before, and is answered as it was. */
function judge(sent: SentReport, known: Assignment | undefined, now: Date): Taken | DomainError | null {
  const { node, report } = sent;
  if (known === undefined || known.nodeId !== node.nodeId || known.clusterId !== node.clusterId)
    return noSuchAssignment();
  const outcome = acceptReport(known, report);
  switch (outcome.kind) {
    case 'repeated':
      return null;
    case 'stale':
      return conflict(
        'stale_report',
        'What is reported is older than what is known, or of an epoch that is over.',
        { extensions: { epoch: known.epoch, sequence: known.sequence } },
      );
    case 'invalid':
      return invalid(
        'invalid_transition',
        `An update that is ${known.nodeState} cannot become ${report.state} now.`,
        { extensions: { state: known.nodeState, phase: phaseOf(known) } },
      );
    case 'accepted': {
      const merged = { ...known, ...outcome.next, message: report.message ?? null, reportedAt: now };
      const next =
        merged.state === known.state ? merged : { ...merged, stateReason: null, stateChangedAt: now };
      return { sent, known, next, slot: outcome.slot };
    }
  }
}

function hasMoved({ known, next }: Taken): boolean {
  return next.state !== known.state;
}

/** Something may follow from it for the rollout. */
function isDecisive({ known, next }: Taken): boolean {
  return !goesOn(known.state, next.state);
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

function reported(rollout: Rollout, { sent: { by }, known, next }: Taken): CausedEvent {
  const shape = ({ nodeId, state }: Assignment) => ({ nodeId, state });
  const change = { before: shape(known), after: shape(next) };
  return { event: { ...about(rollout), action: 'rollout.node_reported', ...change }, by };
}

/** As they are when some of them have got their slots. */
function afterGrants(assignments: readonly Assignment[], granted: readonly Moved[]): Assignment[] {
  const ids = new Set(granted.map(({ id }) => id));
  return assignments.map((each) => (ids.has(each.id) ? { ...each, state: 'granted' } : each));
}

/** Of those that were not refused. */
function withViews(answers: Map<string, Answered>, current: Iterable<Assignment>): Map<string, Answered> {
  for (const assignment of current) {
    const { id, nodeState, attempt, epoch, sequence } = assignment;
    if (answers.has(id)) continue;
    const phase = phaseOf(assignment);
    answers.set(id, { view: { assignmentId: id, state: nodeState, attempt, epoch, sequence, phase } });
  }
  return answers;
}

/** The same for what never was and for what another node was told. */
export function noSuchAssignment() {
  return notFound('not_found', 'There is no such assignment of this node.');
}
