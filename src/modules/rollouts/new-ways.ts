import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { Tx } from '../../common/transaction/tx.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import { WorkloadsReadModel } from '../workloads/workloads.read-model.js';
import { AssignmentsRepository, type Moved } from './assignments.repository.js';
import { EmergencyWaysRepository } from './emergency-ways.repository.js';
import type { Rollout } from './rollout.js';
import { RolloutMoves } from './rollout-moves.js';
import { RolloutNudges } from './rollout-nudges.js';
import { RolloutPlanner } from './rollout-planner.js';
import { RolloutsRepository } from './rollouts.repository.js';
import { type Stretch, WaitingNodesRepository } from './waiting-nodes.repository.js';

/** Plans ways of nodes anew that are elsewhere than when the rollout was planned. All of it under the lock of the product. */
@Injectable()
export class NewWays {
  constructor(
    private readonly members: MembershipsReadModel,
    private readonly workloads: WorkloadsReadModel,
    private readonly ways: EmergencyWaysRepository,
    private readonly assignments: AssignmentsRepository,
    private readonly waiting: WaitingNodesRepository,
    private readonly rollouts: RolloutsRepository,
    private readonly moves: RolloutMoves,
    private readonly planner: RolloutPlanner,
    private readonly nudges: RolloutNudges,
  ) {}

  /** The node of `a` is known to be elsewhere than where the next step of its way begins, or has another system. Of whom
   *  nothing is known it is not said. A scalar, so that it is asked of each row by itself. */
  isElsewhere(rollout: Rollout): Sql {
    return sql`coalesce((
      SELECT (i.os, i.arch) <> (a.os, a.arch) OR (i.version IS NOT NULL AND i.version IS DISTINCT FROM a.step_from)
        FROM ${this.installed(rollout)} AS i), false)`;
  }

  /** What the node of `a` runs and its system, as a table of one row or none: by arrival there or by what it says itself,
   *  whichever is later. `version` is null where nothing is known. */
  private installed({ clusterId, serviceType }: Rollout): Sql {
    const nodeId = sql`a.node_id`;
    const said =
      serviceType === null
        ? sql`(SELECT m.agent_version AS version, m.last_seen_at AS at)`
        : this.workloads.reportedVersion(clusterId, serviceType, nodeId);
    return sql`(
      SELECT m.os, m.arch,
             CASE WHEN l.at >= coalesce(s.at, '-infinity') THEN l.version ELSE coalesce(s.version, l.version) END AS version
        FROM ${this.members.updateSubject(clusterId, nodeId)} AS m
        LEFT JOIN LATERAL ${said} AS s ON true
        LEFT JOIN LATERAL (
          (SELECT o.to_version AS version, o.state_changed_at AS at, false AS "isStop", o.rollout_id FROM rollout_assignments AS o
            WHERE o.cluster_id = a.cluster_id AND o.product_id = a.product_id AND o.node_id = a.node_id AND o.state = 'ok')
          UNION ALL
          -- A stop on this way is arrived at, too.
          SELECT a.step_from, a.state_changed_at, a.state <> 'deferred', a.rollout_id WHERE a.step_from <> a.from_version
          ORDER BY at DESC, "isStop" DESC, rollout_id DESC LIMIT 1) AS l ON true)`;
  }

  /** Plans the ways of nodes anew that stand there and are elsewhere: of some. Of how many.
   *  @param isReady nothing else keeps the node of `a` from being offered its way */
  async ofMovedNodes(
    tx: Tx,
    rollout: Rollout,
    stretch: Stretch,
    isReady: Sql,
    limit: number,
  ): Promise<number> {
    const isMoved = sql`${isReady} AND ${this.isElsewhere(rollout)} AND NOT ${this.members.isAway(rollout.clusterId, sql`a.node_id`)}`;
    const nodeIds = await this.waiting.nodes(tx, stretch, isMoved, limit);
    if (nodeIds.length === 0) return 0;
    await this.plan(tx, rollout, 'planned', nodeIds);
    // Also since it may lead to releases that are not held yet.
    this.nudges.nudge(tx, rollout);
    return nodeIds.length;
  }

  /** Takes back what was offered to nodes that have come elsewhere since. */
  async withdraw(tx: Tx, rollout: Rollout): Promise<void> {
    const moved = await this.assignments.move(tx, {
      ...{ rolloutId: rollout.id, direction: 'forward', from: ['offered'], to: 'planned' },
      where: this.isElsewhere(rollout),
    });
    this.moves.tell(tx, rollout, moved, 'planned');
  }

  /** Plans the ways of these nodes, which stand in that state, from where they are now. Who can go none is left out. */
  async plan(
    tx: Tx,
    rollout: Rollout,
    from: 'planned' | 'deferred' | 'skipped',
    nodeIds: readonly string[],
  ): Promise<void> {
    if (nodeIds.length === 0) return;
    const installed = await this.assignments.versionsOf(tx, rollout.id, nodeIds, this.installed(rollout));
    const { plan, versions, platforms, downgradePossible } = await this.planner.again(tx, rollout, installed);
    if (!downgradePossible) await this.rollouts.giveUpDowngrade(tx, rollout.id);
    const rows = plan.waves.flatMap(({ nodes }) =>
      nodes.flatMap(({ nodeId, fromVersion, nextVersion }) => {
        const release = versions.find(nextVersion);
        const { os = '', arch = '' } = platforms.get(nodeId) ?? {};
        if (release === null) return [];
        const isStop = nextVersion !== rollout.targetVersion;
        return [
          { nodeId, fromVersion, toVersion: nextVersion, toReleaseId: release.releaseId, os, arch, isStop },
        ];
      }),
    );
    const planned = await this.ways.plan(tx, rollout, from, rows);
    const back = from === 'planned' ? [] : planned;
    this.moves.tell(
      tx,
      rollout,
      inOrder(back, nodeIds, ({ nodeId }) => nodeId),
      'planned',
    );
    const reasons = new Set(plan.skipped.map(({ reason }) => reason));
    for (const reason of reasons) {
      const out = plan.skipped.filter((each) => each.reason === reason).map(({ nodeId }) => nodeId);
      if (from === 'skipped') await this.ways.explain(tx, rollout.id, out, reason);
      // Who is under way elsewhere goes on being held until that is over.
      else if (reason !== 'update_in_progress') {
        const left = await this.ways.leaveOut(tx, rollout.id, from, out, reason);
        this.moves.tell(tx, rollout, left, 'skipped');
      }
    }
    if (planned.length > 0) this.rollouts.progressed(tx, rollout.id);
  }
}

/** As they stand in the rollout: an event of the same nodes says the same. */
export function inOrder(
  moved: readonly Moved[],
  order: readonly string[],
  keyOf: (row: Moved) => string,
): Moved[] {
  const places = new Map(order.map((key, place) => [key, place]));
  const placeOf = (row: Moved) => places.get(keyOf(row)) ?? order.length;
  return [...moved].sort((one, other) => placeOf(one) - placeOf(other));
}
