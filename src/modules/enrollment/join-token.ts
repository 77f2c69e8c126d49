import type { AuditEvent } from '../../common/audit/audit-event.js';
import type { JoinTokenScope } from './join-token-scope.js';

/** A token by which nodes may ask to be admitted. Its facts and uses are stored; its status follows from them. */
export interface JoinToken {
  id: string;
  clusterId: string;
  description: string | null;
  scope: JoinTokenScope;
  /** Requests made with it are approved at once. */
  autoApprove: boolean;
  maxUses: number;
  /** 0..maxUses: keys that have used it, less those whose use was given back. */
  usedCount: number;
  createdBy: { type: string; id: string };
  createdAt: Date;
  /** Exclusive: at this instant the token is already dead. */
  expiresAt: Date;
  revokedAt: Date | null;
}

export const JOIN_TOKEN_STATUSES = ['active', 'exhausted', 'expired', 'revoked'] as const;
export type JoinTokenStatus = (typeof JOIN_TOKEN_STATUSES)[number];

/** Status at `now`. Where several causes hold, the most deliberate wins: revoked, then expired. */
export function joinTokenStatus(
  token: Pick<JoinToken, 'revokedAt' | 'expiresAt' | 'usedCount' | 'maxUses'>,
  now: Date,
): JoinTokenStatus {
  if (token.revokedAt !== null) return 'revoked';
  if (token.expiresAt <= now) return 'expired';
  return token.usedCount < token.maxUses ? 'active' : 'exhausted';
}

/** Why a known token was not taken; told to the audit log alone. */
export type JoinTokenRefusal =
  | Exclude<JoinTokenStatus, 'active'>
  | 'cluster_archived'
  | 'foreign_cluster'
  | 'outside_scope';

interface TokenShape {
  scope: JoinTokenScope;
  autoApprove: boolean;
  maxUses: number;
  expiresAt: string;
}

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'join_token.created': { before: null; after: TokenShape };
    'join_token.revoked': { before: { revokedAt: null }; after: { revokedAt: string } };
    'join_token.expired': { before: null; after: { expiresAt: string; usedCount: number } };
    'join_token.refused': {
      before: null;
      after: { nodeName: string; nodeFingerprint: string; refusal: JoinTokenRefusal };
    };
  }
}

const about = ({ id, clusterId, description }: Pick<JoinToken, 'id' | 'clusterId' | 'description'>) => ({
  resource: { type: 'join_token', id, name: description },
  clusterId,
});

export function joinTokenCreated(token: JoinToken): AuditEvent {
  const { scope, autoApprove, maxUses } = token;
  const after = { scope, autoApprove, maxUses, expiresAt: token.expiresAt.toISOString() };
  return {
    action: 'join_token.created',
    ...about(token),
    outcome: 'success',
    reason: null,
    before: null,
    after,
  };
}

export function joinTokenRevoked(token: JoinToken, revokedAt: Date): AuditEvent {
  const after = { revokedAt: revokedAt.toISOString() };
  return {
    action: 'join_token.revoked',
    ...about(token),
    outcome: 'success',
    reason: null,
    before: { revokedAt: null },
    after,
  };
}

/** Written by the worker; the token is dead since `expiresAt`. */
export function joinTokenExpired(
  token: Pick<JoinToken, 'id' | 'clusterId' | 'description' | 'expiresAt' | 'usedCount'>,
): AuditEvent {
  const after = { expiresAt: token.expiresAt.toISOString(), usedCount: token.usedCount };
  return {
    action: 'join_token.expired',
    ...about(token),
    outcome: 'success',
    reason: null,
    before: null,
    after,
  };
}

/** Somebody used a token that is over, or for what it is not for: an incident. */
export function joinTokenRefused(
  token: JoinToken,
  refusal: JoinTokenRefusal,
  node: { nodeName: string; nodeFingerprint: string },
  detail: string,
): AuditEvent {
  const after = { ...node, refusal };
  return {
    action: 'join_token.refused',
    ...about(token),
    outcome: 'denied',
    reason: detail,
    before: null,
    after,
  };
}
