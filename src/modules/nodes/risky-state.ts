import type { AuditEvent } from '../../common/audit/audit-event.js';
import type { CloneSign } from './heartbeat-order.js';

/** The kind of risky state that a suspected clone is. */
export const CLONE_SUSPECTED = 'clone_suspected';

/** The kind of risky state that a member without a key is: its last one was revoked. */
export const IDENTITY_REVOKED = 'identity_revoked';

/** The kind of risky state that a version of the agent is which the policy of the cluster does not allow. */
export const AGENT_VERSION_BLOCKED = 'agent_version_blocked';

/** How bad a risky state is: `critical` ones cannot wait. */
export type Severity = 'warning' | 'critical';

const CRITICAL: readonly string[] = [AGENT_VERSION_BLOCKED, CLONE_SUSPECTED];

export function severityOf(kind: string): Severity {
  return CRITICAL.includes(kind) ? 'critical' : 'warning';
}

/** A risky state that is written down: it holds until somebody acknowledges it. */
export interface RiskyState {
  clusterId: string;
  nodeId: string;
  /** Of the member. */
  name: string;
  kind: string;
  since: Date;
  acknowledgedAt: Date | null;
  acknowledgedByType: string | null;
  acknowledgedById: string | null;
}

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'node.clone_suspected': {
      before: null;
      after: { sign: CloneSign; agentInstanceId: string | null; sequence: number };
    };
    'node.risky_state_acknowledged': { before: { kind: string; since: string }; after: null };
  }
}

/** The event of two agents that seem to use one key, by the heartbeat that showed it. */
export function cloneSuspected(
  { clusterId, nodeId, name }: Pick<RiskyState, 'clusterId' | 'nodeId' | 'name'>,
  after: { sign: CloneSign; agentInstanceId: string | null; sequence: number },
): AuditEvent {
  return {
    action: 'node.clone_suspected',
    resource: { type: 'node', id: nodeId, name },
    clusterId,
    outcome: 'success',
    reason: null,
    before: null,
    after,
  };
}

/** The event of an operator who has looked at a risky state. */
export function riskyStateAcknowledged(state: RiskyState, reason: string): AuditEvent {
  const { clusterId, nodeId, name, kind, since } = state;
  return {
    action: 'node.risky_state_acknowledged',
    resource: { type: 'node', id: nodeId, name },
    clusterId,
    outcome: 'success',
    reason,
    before: { kind, since: since.toISOString() },
    after: null,
  };
}
