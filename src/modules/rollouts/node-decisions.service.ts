import { Injectable } from '@nestjs/common';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import { conflict } from '../../common/errors/domain-error.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import type { Assignment } from './assignment.js';
import { AssignmentsRepository } from './assignments.repository.js';
import type { HeldRollout } from './held-rollout.js';
import { NodeVersionsRepository } from './node-versions.repository.js';
import { about, noSuchRollout } from './rollout.js';
import { RolloutEngine } from './rollout-engine.js';
import { RolloutViews } from './rollout-views.js';
import type { RolloutView } from './rollouts.schema.js';
import { SlotsRepository } from './slots.repository.js';

/** What operators decide of nodes that cannot speak for themselves. Either raises the epoch, so that a late report of
 *  what is over is refused. */
@Injectable()
export class NodeDecisionsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly engine: RolloutEngine,
    private readonly assignments: AssignmentsRepository,
    private readonly slots: SlotsRepository,
    private readonly versions: NodeVersionsRepository,
    private readonly views: RolloutViews,
  ) {}

  /** Gives up on a lost node: its slot is free again, and no rollback waits for it. @throws not_found; conflict
   *  `node_not_lost` */
  writeOff(
    actor: Actor,
    clusterId: string,
    id: string,
    nodeId: string,
    reason: string,
  ): Promise<RolloutView> {
    return this.decide(actor, clusterId, id, nodeId, async (tx, { rollout }, ways) => {
      const lost = ways.filter(({ state, isWrittenOff }) => state === 'lost' && !isWrittenOff);
      if (lost.length === 0) throw conflict('node_not_lost', 'The node is not lost in this rollout.');
      for (const way of lost) await this.end(tx, { ...way, isWrittenOff: true });
      // Lost on its way back: that it has the version is nobody's concern any more.
      const arrived = ways.filter(({ state }) => state === 'ok');
      this.assignments.write(
        tx,
        arrived.map((way) => ({ ...way, isWrittenOff: true })),
      );
      return {
        ...about(rollout),
        reason,
        action: 'rollout.node_written_off',
        before: null,
        after: { nodeId },
      };
    });
  }

  /** Takes a node that has been brought in order out of its fence. @throws not_found; conflict `node_not_fenced` */
  unfence(actor: Actor, clusterId: string, id: string, nodeId: string, reason: string): Promise<RolloutView> {
    return this.decide(actor, clusterId, id, nodeId, async (tx, { rollout }, ways) => {
      const fenced = ways.filter(({ nodeState }) => nodeState === 'fenced');
      if (fenced.length === 0) throw conflict('node_not_fenced', 'The node is not fenced in this rollout.');
      for (const way of fenced) await this.end(tx, { ...way, nodeState: 'idle' });
      return { ...about(rollout), reason, action: 'rollout.node_unfenced', before: null, after: { nodeId } };
    });
  }

  private async end(tx: Tx, way: Assignment): Promise<void> {
    const epoch = await this.versions.nextEpoch(tx, way, way.epoch);
    this.assignments.write(tx, [{ ...way, epoch, sequence: 0 }]);
    this.slots.release(tx, way, [way.nodeId]);
    tx.touch(way.clusterId, [way.nodeId]);
  }

  private decide(
    actor: Actor,
    clusterId: string,
    id: string,
    nodeId: string,
    work: (tx: Tx, held: HeldRollout, ways: readonly Assignment[]) => Promise<AuditEvent>,
  ): Promise<RolloutView> {
    return this.transactor.mutateDirect(actor, async (tx) => {
      const held = await this.engine.hold(tx, clusterId, id);
      if (held === null) throw noSuchRollout();
      const ways = await this.assignments.ofNodes(tx, id, [nodeId]);
      if (ways.length === 0) throw noSuchRollout();
      const event = await work(tx, held, ways);
      const rollout = await this.engine.advance(tx, held);
      const [view] = await this.views.of(tx, [rollout]);
      return { result: view as RolloutView, events: [event] };
    });
  }
}
