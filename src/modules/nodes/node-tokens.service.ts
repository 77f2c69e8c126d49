import { Injectable } from '@nestjs/common';
import { compactVerify, decodeJwt, errors } from 'jose';
import { Database } from '../../common/database/database.js';
import { sql } from '../../common/database/sql.js';
import { ServiceAddress } from '../../common/http/service-address.js';
import { isUuid } from '../../common/ids/uuid.js';
import { ACCESS_TOKEN_SECONDS, AccessTokens } from './access-tokens.js';
import { AssertionIds } from './assertion-ids.js';
import { type AssertionClaims, assertionFault, CLOCK_SKEW_SECONDS } from './client-assertion.js';
import { readNodeKey } from './node-key.js';

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

interface IdentityRow {
  publicKey: unknown;
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
    const [identity] = await this.database.query<IdentityRow>(sql`
      SELECT i.public_key AS "publicKey", date_trunc('milliseconds', now()) AS now
        FROM node_identities AS i
        JOIN cluster_memberships AS m ON m.cluster_id = i.cluster_id AND m.node_id = i.node_id
       WHERE i.cluster_id = ${clusterId}::uuid AND i.node_id = ${nodeId}::uuid
         AND i.identity_status = 'active' AND m.membership_status <> 'revoked'`);
    if (identity === undefined) return refused(UNKNOWN, 'no live identity');
    const claims = await verified(assertion, identity.publicKey);
    if (claims === null) return refused(UNKNOWN, 'signature does not match');
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
    if (!(await this.assertionIds.take(nodeId, String(claims.jti), expiresAt))) {
      return refused('This client assertion was used before.', 'jti used before');
    }
    const access_token = await this.tokens.issue({ nodeId, clusterId }, identity.now);
    return { access_token, token_type: 'Bearer', expires_in: ACCESS_TOKEN_SECONDS };
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

/** The claims when `key` signed them, with the one algorithm that fits it; null otherwise. */
async function verified(assertion: string, publicKey: unknown): Promise<AssertionClaims | null> {
  const { key, alg } = readNodeKey(publicKey);
  try {
    const { payload } = await compactVerify(assertion, key, { algorithms: [alg] });
    const claims: unknown = JSON.parse(new TextDecoder().decode(payload));
    return typeof claims === 'object' && claims !== null ? claims : null;
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof SyntaxError || error instanceof TypeError)
      return null;
    throw error;
  }
}
