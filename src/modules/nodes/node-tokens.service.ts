import { Injectable } from '@nestjs/common';
import { decodeJwt } from 'jose';
import { Database } from '../../common/database/database.js';
import { FABRIC_NOW } from '../../common/database/fabric-now.js';
import { sql } from '../../common/database/sql.js';
import { ServiceAddress } from '../../common/http/service-address.js';
import { isUuid } from '../../common/ids/uuid.js';
import { ACCESS_TOKEN_SECONDS, AccessTokens } from './access-tokens.js';
import { AssertionIds, membershipIssuer } from './assertion-ids.js';
import { type AssertionClaims, assertionFault, CLOCK_SKEW_SECONDS } from './client-assertion.js';
import { keyWorks, type NodeIdentity } from './node-identity.js';
import { readNodeKey } from './node-key.js';
import { signedClaims } from './signed-claims.js';

/** Path of the token endpoint; its URL is accepted as audience beside the service's own. */
export const TOKEN_PATH = '/api/v1/node-agents/token';
const MAX_ASSERTION_LIFETIME_SECONDS = 300;
const MAX_ASSERTION_LENGTH = 8_192;

/** A token as RFC 6749 section 5.1 answers it. */
export interface IssuedToken {
  access_token: string;
  token_type: 'Bearer';
  expires_in: number;
}

/** Why there is no token: to the caller, and to the log. */
export interface TokenRefusal {
  description: string;
  reason: string;
}

interface IdentityRow extends Pick<NodeIdentity, 'id' | 'publicKey' | 'identityStatus' | 'validUntil'> {
  now: Date;
}

/** Exchanges client assertions of nodes for access tokens (RFC 7523, `private_key_jwt`). */
@Injectable()
export class NodeTokensService {
  constructor(
    private readonly database: Database,
    private readonly tokens: AccessTokens,
    private readonly assertionIds: AssertionIds,
    private readonly address: ServiceAddress,
  ) {}

  /** A token for the node that signed `assertion`. Depends on the identity key and the membership alone. */
  async exchange(assertion: string): Promise<IssuedToken | TokenRefusal> {
    const claimed = readClaims(assertion);
    if (claimed === null)
      return refused('The client assertion is not a JWT of a node.', 'not a JWT with sub and cluster');
    const { nodeId, clusterId } = claimed;
    const known = await this.database.query<IdentityRow>(sql`
      SELECT i.id, i.public_key AS "publicKey", i.identity_status AS "identityStatus", i.valid_until AS "validUntil",
             date_trunc('milliseconds', now()) AS now
        FROM node_identities AS i
        JOIN cluster_memberships AS m ON m.cluster_id = i.cluster_id AND m.node_id = i.node_id
       WHERE i.cluster_id = ${clusterId}::uuid AND i.node_id = ${nodeId}::uuid
         AND (i.identity_status = 'active' OR (i.identity_status = 'rotated' AND i.valid_until > ${FABRIC_NOW}))
         AND m.membership_status <> 'revoked' ORDER BY i.created_at DESC`);
    const identities = known.filter((identity) => keyWorks(identity, identity.now));
    if (identities.length === 0) return refused(UNKNOWN, 'no live identity');
    const signed = await signedBy(assertion, identities);
    if (signed === null) return refused(UNKNOWN, 'signature does not match');
    const { claims, identity } = signed;
    const fault = assertionFault(
      claims,
      {
        subject: nodeId,
        maxLifetimeSeconds: MAX_ASSERTION_LIFETIME_SECONDS,
        acceptsAudience: (aud) => this.address.audience.accepts(aud, TOKEN_PATH),
      },
      identity.now,
    );
    if (fault !== null) {
      const hint =
        fault.fault === 'audience'
          ? ` Expected ${this.address.publicUrl}.`
          : fault.fault === 'time'
            ? ` The server's time is ${identity.now.toISOString()}.`
            : '';
      return refused(`${fault.detail}${hint}`, fault.detail);
    }
    const expiresAt = new Date((Number(claims.exp) + CLOCK_SKEW_SECONDS) * 1000);
    if (!(await this.assertionIds.take(membershipIssuer(claimed), String(claims.jti), expiresAt))) {
      return refused('This client assertion was used before.', 'jti used before');
    }
    const expires_in = lifetimeSeconds(identity);
    const principal = { nodeId, clusterId, identityId: identity.id };
    const access_token = await this.tokens.issue(principal, identity.now, expires_in);
    return { access_token, token_type: 'Bearer', expires_in };
  }
}

const UNKNOWN = 'The client is unknown, or the assertion is not signed by its key.';

function refused(description: string, reason: string): TokenRefusal {
  return { description, reason };
}

function readClaims(assertion: string): { nodeId: string; clusterId: string } | null {
  if (assertion.length > MAX_ASSERTION_LENGTH) return null;
  try {
    const { sub, cluster } = decodeJwt(assertion);
    if (typeof sub !== 'string' || typeof cluster !== 'string' || !isUuid(sub) || !isUuid(cluster))
      return null;
    return { nodeId: sub, clusterId: cluster };
  } catch {
    return null;
  }
}

/** The claims with the identity whose key signed them; null when none of them did. */
async function signedBy(
  assertion: string,
  identities: readonly IdentityRow[],
): Promise<{ claims: AssertionClaims; identity: IdentityRow } | null> {
  for (const identity of identities) {
    const claims = await signedClaims(assertion, readNodeKey(identity.publicKey));
    if (claims !== null) return { claims, identity };
  }
  return null;
}

/** A token that a replaced key has asked for ends with that key. */
function lifetimeSeconds({ validUntil, now }: IdentityRow): number {
  if (validUntil === null) return ACCESS_TOKEN_SECONDS;
  const leftSeconds = Math.ceil((validUntil.getTime() - now.getTime()) / 1000);
  return Math.min(ACCESS_TOKEN_SECONDS, leftSeconds);
}
