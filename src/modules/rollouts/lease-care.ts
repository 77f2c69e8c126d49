import { Injectable } from '@nestjs/common';
import type { Sql } from '../../common/database/sql.js';
import type { Tx } from '../../common/transaction/tx.js';
import { VpnReadModel } from '../vpn/vpn.read-model.js';
import { DecisionsRepository } from './decisions.repository.js';
import { type Departures, departures, LEASE_REASONS, type ReadyNode } from './engine/lease-care.js';
import { LeaseWaitsRepository } from './lease-waits.repository.js';
import type { Rollout } from './rollout.js';
import { RolloutNudges } from './rollout-nudges.js';
import { RolloutsRepository } from './rollouts.repository.js';

/** Nodes that one decision record names. */
const NAMED = 100;

/** Lets no node out of service that holds a VPN lease, before somebody else has had the chance to take it. */
@Injectable()
export class LeaseCare {
  constructor(
    private readonly connections: VpnReadModel,
    private readonly waits: LeaseWaitsRepository,
    private readonly rollouts: RolloutsRepository,
    private readonly decisions: DecisionsRepository,
    private readonly nudges: RolloutNudges,
  ) {}

  /** Whether a node holds a lease, or is about to. */
  isBound({ clusterId }: Rollout, nodeId: Sql): Sql {
    return this.connections.isBound(clusterId, nodeId);
  }

  /** Who goes now. For the others their leases are asked for, after the commit: what a lease rests on is locked in an
   *  order of its own. */
  async depart(
    tx: Tx,
    rollout: Rollout,
    ready: readonly (ReadyNode & { isBound: boolean })[],
    free: number,
  ): Promise<Departures['go']> {
    const bound = new Set(ready.filter(({ isBound }) => isBound).map(({ nodeId }) => nodeId));
    const { go, begin } = departures(ready, bound, free, tx.now);
    if (begin.length > 0) {
      // A candidate that is out of service itself is back by then, or lost.
      const until = new Date(tx.now.getTime() + rollout.strategy.nodeDeadlineSeconds * 1_000);
      const ids = begin.map(({ assignmentId }) => assignmentId);
      await this.waits.begin(tx, ids, until);
      this.rollouts.progressed(tx, rollout.id);
      await this.note(tx, rollout, LEASE_REASONS.waiting, begin);
      this.nudges.handOverLeases(tx, rollout);
    }
    for (const why of [LEASE_REASONS.noCandidate, LEASE_REASONS.overdue])
      await this.note(
        tx,
        rollout,
        why,
        go.filter(({ reason }) => reason === why),
      );
    return go;
  }

  private async note(
    tx: Tx,
    { id, state }: Rollout,
    rule: string,
    nodes: readonly { nodeId: string }[],
  ): Promise<void> {
    if (nodes.length === 0) return;
    const inputs = { nodes: nodes.length, nodeIds: nodes.slice(0, NAMED).map(({ nodeId }) => nodeId) };
    const decision = { rule, wave: null, fromState: state, toState: state, reason: rule, inputs };
    await this.decisions.add(tx, tx.actor, id, decision);
  }
}
