import { Injectable, type OnModuleInit } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import { notFound } from '../../common/errors/domain-error.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { CLONE_SIGNS } from './heartbeat-order.js';
import type { NodeHeartbeat } from './heartbeats.repository.js';
import { NodeFacets } from './node-facets.js';
import {
  AGENT_VERSION_BLOCKED,
  CLONE_SUSPECTED,
  cloneSuspected,
  IDENTITY_REVOKED,
  type RiskyState,
  riskyStateAcknowledged,
} from './risky-state.js';
import { RiskyStatesRepository } from './risky-states.repository.js';
import type { NodeRiskyStateView } from './risky-states.schema.js';

/** As the table has it; what comes from a path may hold bytes that the database does not take. */
const KIND = /^[a-z_]{1,64}$/;

/** The risky states of nodes that hold until somebody has looked at them. */
@Injectable()
export class RiskyStatesService implements OnModuleInit {
  constructor(
    private readonly transactor: Transactor,
    private readonly states: RiskyStatesRepository,
    private readonly facets: NodeFacets,
  ) {}

  onModuleInit(): void {
    this.facets.addRiskyStates({
      kind: sql`s.kind`,
      from: sql`node_risky_states AS s`,
      where: sql`s.cluster_id = m.cluster_id AND s.node_id = m.node_id AND s.acknowledged_at IS NULL`,
    });
    this.facets.addRiskyStates({
      kind: sql`${AGENT_VERSION_BLOCKED}::text`,
      where: sql`(m.agent_version_order = ANY(p.blocked_agent_version_orders)
        OR (p.minimum_agent_version_order IS NOT NULL
            AND (m.agent_version_order IS NULL OR m.agent_version_order < p.minimum_agent_version_order)))`,
    });
    // Without a key there is no active member.
    this.facets.addRiskyStates({
      kind: sql`${IDENTITY_REVOKED}::text`,
      where: sql`m.membership_status = 'disabled' AND NOT EXISTS (
        SELECT 1 FROM node_identities AS i
         WHERE i.cluster_id = m.cluster_id AND i.node_id = m.node_id AND i.identity_status = 'active')`,
    });
  }

  /**
   * Writes down that two agents seem to use the node's key. The sign stays on the node until this has committed, so
   * that a crash in between loses nothing: the next heartbeat, on any instance, brings it here again.
   */
  noteClone(actor: Actor, beat: NodeHeartbeat): Promise<void> {
    return this.transactor.observe(actor, async (tx) => {
      const taken = await this.states.takeCloneSign(tx, beat);
      const sign = taken === null ? undefined : CLONE_SIGNS[taken];
      if (sign === undefined || !(await this.states.open(tx, beat, CLONE_SUSPECTED)))
        return { result: undefined };
      const { clusterId, nodeId, agentInstanceId = null, sequence } = beat;
      const name = (await this.states.nameOf(tx, beat)) ?? nodeId;
      const event = cloneSuspected({ clusterId, nodeId, name }, { sign, agentInstanceId, sequence });
      return { result: undefined, events: [event] };
    });
  }

  /** Closes a state that somebody has looked at; should it show again, it opens again. A repeat changes nothing.
   *  @throws not_found, also for a state that follows from other facts: it ends when they do */
  acknowledge(
    actor: Actor,
    clusterId: string,
    nodeId: string,
    kind: string,
    reason: string,
  ): Promise<NodeRiskyStateView> {
    return this.transactor.mutate(actor, async (tx) => {
      const state = KIND.test(kind) ? await this.states.lock(tx, { clusterId, nodeId }, kind) : null;
      if (state === null)
        throw notFound('not_found', 'The node has no such state that somebody could acknowledge.');
      if (state.acknowledgedAt !== null) return { result: view(state), unchanged: true };
      await this.states.acknowledge(tx, state, actor);
      const acknowledged = {
        acknowledgedAt: tx.now,
        acknowledgedByType: actor.type,
        acknowledgedById: actor.id,
      };
      return {
        result: view({ ...state, ...acknowledged }),
        events: [riskyStateAcknowledged(state, reason)],
      };
    });
  }
}

function view(state: RiskyState): NodeRiskyStateView {
  const { clusterId, nodeId, kind, since, acknowledgedAt, acknowledgedByType, acknowledgedById } = state;
  return {
    clusterId,
    nodeId,
    kind,
    since: since.toISOString(),
    acknowledgedAt: acknowledgedAt?.toISOString() ?? null,
    acknowledgedBy: acknowledgedByType === null ? null : { type: acknowledgedByType, id: acknowledgedById },
  };
}
