import { Injectable } from '@nestjs/common';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { Batches } from '../../common/batching/batches.js';
import type { Actor } from '../../common/request/actor.js';
import { currentRequest, runOutsideRequests } from '../../common/request/request-context.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { AssignmentsRepository } from './assignments.repository.js';
import { about } from './rollout.js';
import { RolloutsRepository } from './rollouts.repository.js';
import type { ReportUpdate, UpdateStateView } from './rollouts.schema.js';
import { type Answered, noSuchAssignment, type SentReport, UpdateIntake } from './update-intake.js';

/** A node that goes on reporting what cannot be is told of once in so many seconds, with how often it did. */
const REFUSAL_SECONDS = 60;
/** One at a time in a cluster: the others would only wait for the same lock, each on a connection. */
const BATCHING = { gatherMs: 1, size: 500, maxWrites: 1, maxWaiting: 10_000 };

/** Takes in what nodes report of their updates: those that report while others are being heard are heard together next. */
@Injectable()
export class UpdateReportsService {
  private readonly ofCluster = new Map<string, Batches<SentReport, Answered>>();

  constructor(
    private readonly transactor: Transactor,
    private readonly intake: UpdateIntake,
    private readonly rollouts: RolloutsRepository,
    private readonly assignments: AssignmentsRepository,
  ) {}

  /** @throws not_found; conflict `stale_report`; invalid `invalid_transition`, which is recorded */
  async report(
    actor: Actor,
    node: NodePrincipal,
    id: string,
    report: ReportUpdate,
  ): Promise<UpdateStateView> {
    const by = { actor, requestId: currentRequest()?.requestId ?? null, highRisk: false };
    const sent = { by, node, assignmentId: id, report };
    const answer = (await this.batchesOf(node.clusterId).add(sent)) ?? { refusal: noSuchAssignment() };
    if ('view' in answer) return answer.view;
    if (answer.refusal.code === 'invalid_transition') await this.recordRefusal(actor, node, id, report);
    throw answer.refusal;
  }

  private batchesOf(clusterId: string): Batches<SentReport, Answered> {
    const known = this.ofCluster.get(clusterId);
    if (known !== undefined) return known;
    const batches = new Batches<SentReport, Answered>({
      ...BATCHING,
      keyOf: ({ assignmentId }) => assignmentId,
      write: (sent) => runOutsideRequests(() => this.intake.take(sent)),
    });
    this.ofCluster.set(clusterId, batches);
    return batches;
  }

  private async recordRefusal(
    actor: Actor,
    { clusterId, nodeId }: NodePrincipal,
    id: string,
    { state: reported }: ReportUpdate,
  ): Promise<void> {
    await this.transactor.observe(actor, async (tx) => {
      const assignment = await this.assignments.find(tx, id);
      const refusedReports = await this.assignments.refuseReport(tx, id, REFUSAL_SECONDS);
      const rollout =
        assignment === null || refusedReports === null
          ? null
          : await this.rollouts.find(tx, clusterId, assignment.rolloutId);
      if (assignment === null || refusedReports === null || rollout === null) return { result: undefined };
      const after = { nodeId, state: assignment.nodeState, reported, refusedReports };
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
}
