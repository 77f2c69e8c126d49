import type { AuditEvent } from '../../common/audit/audit-event.js';
import type { Permission, PrincipalRole } from '../../common/auth/permissions.js';
import './access.audit.js';

/** A credential of a script. The secret itself is kept nowhere. */
export interface ApiToken {
  id: string;
  name: string;
  role: PrincipalRole | null;
  /** Held beside those of the role. */
  permissions: Permission[];
  /** null: the whole platform. */
  clusterId: string | null;
  organizationId: string | null;
  highRisk: boolean;
  /** CIDR ranges; empty: usable from anywhere. */
  allowedAddresses: string[];
  createdByType: string;
  createdById: string;
  createdAt: Date;
  /** Exclusive: at this instant the token is already dead. null: it does not end by itself. */
  expiresAt: Date | null;
  /** To the minute. */
  lastUsedAt: Date | null;
  revokedAt: Date | null;
}

export type ApiTokenStatus = 'active' | 'expired' | 'revoked';

/** Status at `now`. Where both causes hold, the deliberate one wins. */
export function apiTokenStatus(
  { revokedAt, expiresAt }: Pick<ApiToken, 'revokedAt' | 'expiresAt'>,
  now: Date,
): ApiTokenStatus {
  if (revokedAt !== null) return 'revoked';
  return expiresAt !== null && expiresAt <= now ? 'expired' : 'active';
}

export function apiTokenCreated(token: ApiToken): AuditEvent {
  const { role, permissions, clusterId, highRisk, allowedAddresses, expiresAt } = token;
  return {
    action: 'api_token.created',
    resource: resource(token),
    clusterId,
    outcome: 'success',
    reason: null,
    before: null,
    after: {
      role,
      permissions,
      clusterId,
      highRisk,
      allowedAddresses,
      expiresAt: expiresAt?.toISOString() ?? null,
    },
  };
}

export function apiTokenRevoked(token: ApiToken, revokedAt: Date): AuditEvent {
  return {
    action: 'api_token.revoked',
    resource: resource(token),
    clusterId: token.clusterId,
    outcome: 'success',
    reason: null,
    before: { revokedAt: null },
    after: { revokedAt: revokedAt.toISOString() },
  };
}

const resource = ({ id, name }: ApiToken) => ({ type: 'api_token', id, name });
