import type { AuditEvent } from '../../common/audit/audit-event.js';

/** What a node says to have seen: a term in a heartbeat, or a fencing token, which carries one. */
export type ClaimSource = 'heartbeat' | 'fencing_token';

/** A node's word that the authority has been further than this database knows. */
export interface AuthorityClaim {
  clusterId: string;
  nodeId: string;
  /** The term that was seen, or that of the token that was seen. */
  claimedTerm: number;
  source: ClaimSource;
  /** What shows it, for the audit log: the token, the connection. */
  evidence?: Readonly<Record<string, string | number>>;
}

/** What is remembered of a node's claims; null where that has not happened. */
export interface KnownClaim {
  notedAt: Date | null;
  raisedAt: Date | null;
  heldAt: Date | null;
}

/** What is made of a claim. */
export interface ClaimVerdict {
  /** It is written into the audit log. */
  notes: boolean;
  /** The term rises by one. */
  raises: boolean;
  /** Takeovers are held too: what was lost may be a lease that is out. */
  holds: boolean;
}

/** One node notes a claim this often, raises a term this often, and holds takeovers this often, in seconds. */
export const NOTE_EVERY_SECONDS = 600;
export const RAISE_EVERY_SECONDS = 3_600;
export const HOLD_EVERY_SECONDS = 86_400;
/**
 * All nodes of a cluster together raise its term this often: as many liars as there are nodes need four years for the
 * two million terms that fencing tokens have room for.
 */
export const CLUSTER_RAISE_EVERY_SECONDS = 60;

/**
 * Whether a claim is one. What a node saw of a later term is; a later fencing token of the same term is, since whoever
 * calls has compared it with the last that was given. What comes from an earlier term is history.
 */
export function isClaim(
  { claimedTerm, source }: Pick<AuthorityClaim, 'claimedTerm' | 'source'>,
  term: number,
): boolean {
  return source === 'fencing_token' ? claimedTerm >= term : claimedTerm > term;
}

/**
 * What is made of it. The term rises by one and never to what is claimed: one node alone raises it once an hour, so
 * that it cannot use the terms up, and each further node that claims the same brings it one nearer.
 * @param clusterRaisedAt when any node's claim last raised this term
 */
export function judgeClaim(
  claim: Pick<AuthorityClaim, 'claimedTerm' | 'source'>,
  { term, clusterRaisedAt, known }: { term: number; clusterRaisedAt: Date | null; known: KnownClaim },
  now: Date,
): ClaimVerdict {
  if (!isClaim(claim, term)) return { notes: false, raises: false, holds: false };
  const isDue = (last: Date | null, seconds: number) =>
    last === null || now.getTime() - last.getTime() >= seconds * 1_000;
  const raises =
    isDue(known.raisedAt, RAISE_EVERY_SECONDS) && isDue(clusterRaisedAt, CLUSTER_RAISE_EVERY_SECONDS);
  return {
    notes: raises || isDue(known.notedAt, NOTE_EVERY_SECONDS),
    raises,
    holds: raises && isDue(known.heldAt, HOLD_EVERY_SECONDS),
  };
}

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'authority.term_claimed': {
      before: { term: number };
      after: { claimedTerm: number; source: ClaimSource; raises: boolean } & Record<string, unknown>;
    };
  }
}

/** The incident: either this database has lost something, or the node lies. */
export function termClaimed(
  { clusterId, nodeId, claimedTerm, source, evidence = {} }: AuthorityClaim,
  term: number,
  { raises }: ClaimVerdict,
): AuditEvent {
  return {
    action: 'authority.term_claimed',
    resource: { type: 'node', id: nodeId, name: null },
    clusterId,
    outcome: 'success',
    highRisk: true,
    reason: null,
    before: { term },
    after: { ...evidence, claimedTerm, source, raises },
  };
}
