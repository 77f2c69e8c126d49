import type { AuditEvent } from '../../common/audit/audit-event.js';
import { type DomainError, unauthenticated } from '../../common/errors/domain-error.js';
import { changedMembers } from '../../common/json/changed-members.js';

export type MembershipStatus = 'active' | 'disabled' | 'revoked';

/** Statuses that a membership may go to; a revoked one never lives again. */
export const NEXT_MEMBERSHIP_STATUS: Record<MembershipStatus, readonly MembershipStatus[]> = {
  active: ['disabled', 'revoked'],
  disabled: ['active', 'revoked'],
  revoked: [],
};

/** A node as a member of one cluster. */
export interface Membership {
  clusterId: string;
  nodeId: string;
  name: string;
  membershipStatus: MembershipStatus;
  groupId: string | null;
  labels: Record<string, string>;
  telemetryEnabled: boolean;
  capabilities: string[];
  facts: Record<string, unknown>;
}

/** The key by which a member is to be known. */
export interface NewKey {
  clusterId: string;
  nodeId: string;
  publicKey: object;
  keyThumbprint: string;
}

/** A node that an approval admits. */
export interface NewMember extends NewKey {
  /** False: the host is known from another cluster. */
  isNewNode: boolean;
  name: string;
  groupId: string | null;
  labels: Record<string, string>;
  capabilities: string[];
  facts: Record<string, unknown>;
  agentVersion: string;
  os: string;
  arch: string;
  machineId: string | null;
}

/** What an operator may change of a membership. */
export type MembershipSettings = Pick<Membership, 'name' | 'groupId' | 'labels' | 'telemetryEnabled'>;

/** The refusal of a node whose membership or key ended while its token was still known: like that of any bad token. */
export function membershipOver(cause?: unknown): DomainError {
  return unauthenticated('unauthenticated', 'The bearer token is not valid.', {
    reason: 'the membership or the identity is revoked',
    cause,
  });
}

/** What an event says of an operator who insisted; nothing of one who did not. */
export interface Insistence {
  forced?: true;
  rolesBelowMinimum?: readonly string[];
}

/** @param rolesBelowMinimum what would have been a reason to refuse */
export function insistence(force: boolean, rolesBelowMinimum: readonly string[]): Insistence {
  return force ? { forced: true, rolesBelowMinimum } : {};
}

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'node.updated': { before: Partial<MembershipSettings>; after: Partial<MembershipSettings> };
    'node.disabled': {
      before: { membershipStatus: MembershipStatus };
      after: { membershipStatus: MembershipStatus } & Insistence;
    };
    'node.enabled': {
      before: { membershipStatus: MembershipStatus };
      after: { membershipStatus: MembershipStatus };
    };
    'node.revoked': {
      before: { membershipStatus: MembershipStatus };
      after: { membershipStatus: MembershipStatus; revocationEpoch: number } & Insistence;
    };
    'node.capabilities_changed': { before: { capabilities: string[] }; after: { capabilities: string[] } };
    'node.facts_changed': { before: { facts: object }; after: { facts: object } };
    'node.health_changed': {
      before: { health: string | null };
      after: { health: string; riskyStates: string[] };
    };
  }
}

const about = ({ clusterId, nodeId, name }: Pick<Membership, 'clusterId' | 'nodeId' | 'name'>) => ({
  resource: { type: 'node', id: nodeId, name },
  clusterId,
  outcome: 'success' as const,
});

/** The event of changed settings, holding only what changed; null when nothing did. */
export function nodeUpdated(member: Membership, next: MembershipSettings): AuditEvent | null {
  const changed = changedMembers<MembershipSettings>(member, next);
  return changed === null ? null : { action: 'node.updated', ...about(member), reason: null, ...changed };
}

/** The event of a change between active and disabled. */
export function nodeSwitched(
  member: Membership,
  to: 'active' | 'disabled',
  reason: string | null,
  insisted: Insistence = {},
): AuditEvent {
  const action = to === 'disabled' ? 'node.disabled' : 'node.enabled';
  return {
    action,
    ...about(member),
    reason,
    before: { membershipStatus: member.membershipStatus },
    after: { membershipStatus: to, ...insisted },
  };
}

/** The event of a revocation. */
export function nodeRevoked(
  member: Membership,
  reason: string,
  revocationEpoch: number,
  insisted: Insistence = {},
): AuditEvent {
  return {
    action: 'node.revoked',
    ...about(member),
    reason,
    before: { membershipStatus: member.membershipStatus },
    after: { membershipStatus: 'revoked', revocationEpoch, ...insisted },
  };
}

/** The events of a report that differs from the last one. */
export function nodeReported(
  member: Membership,
  capabilities: string[],
  facts: Record<string, unknown>,
): AuditEvent[] {
  const events: AuditEvent[] = [];
  if (!isSameSet(member.capabilities, capabilities)) {
    const before = { capabilities: member.capabilities };
    events.push({
      action: 'node.capabilities_changed',
      ...about(member),
      reason: null,
      before,
      after: { capabilities },
    });
  }
  const changed = Object.keys({ ...member.facts, ...facts }).filter(
    (key) => JSON.stringify(member.facts[key]) !== JSON.stringify(facts[key]),
  );
  if (changed.length > 0) {
    const pick = (from: Record<string, unknown>) =>
      Object.fromEntries(changed.map((key) => [key, from[key] ?? null]));
    const [before, after] = [{ facts: pick(member.facts) }, { facts: pick(facts) }];
    events.push({ action: 'node.facts_changed', ...about(member), reason: null, before, after });
  }
  return events;
}

/** The order in which an agent names its capabilities means nothing. */
function isSameSet(one: readonly string[], other: readonly string[]): boolean {
  const [left, right] = [new Set(one), new Set(other)];
  return left.size === right.size && [...left].every((item) => right.has(item));
}
