import { Injectable } from '@nestjs/common';
import { Database } from '../../common/database/database.js';
import { DatabaseClock } from '../../common/database/database-clock.js';
import { unauthenticated } from '../../common/errors/domain-error.js';
import { contentEtag } from '../../common/http/etag.js';
import { RateLimits } from '../../common/http/rate-limits.js';
import { ServiceAddress } from '../../common/http/service-address.js';
import { isUuid } from '../../common/ids/uuid.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { ClusterKeys } from '../clusters/cluster-keys.js';
import { AssertionIds } from '../nodes/assertion-ids.js';
import { assertionFault, CLOCK_SKEW_SECONDS } from '../nodes/client-assertion.js';
import { readNodeKey } from '../nodes/node-key.js';
import { signedClaims } from '../nodes/signed-claims.js';
import { TrustService } from '../trust/trust.service.js';
import type { JoinRequestState } from './enrollment.schema.js';
import type { Source } from './enrollment.service.js';
import { EnrollmentCertificates } from './enrollment-certificates.js';
import { type JoinRequest, joinRequestEnded, joinRequestStatus, requireUndecided } from './join-request.js';
import { JoinRequestsRepository } from './join-requests.repository.js';
import { JoinTokensRepository } from './join-tokens.repository.js';

const MAX_LIFETIME_SECONDS = 60;
const BEARER = /^Bearer +([\x21-\x7e]{1,8192})$/i;

/** What a node that has asked to be admitted may do: see what became of it, and take it back. */
@Injectable()
export class EnrollmentStatusService {
  constructor(
    private readonly transactor: Transactor,
    private readonly database: Database,
    private readonly requests: JoinRequestsRepository,
    private readonly joinTokens: JoinTokensRepository,
    private readonly certificates: EnrollmentCertificates,
    private readonly trust: TrustService,
    private readonly assertionIds: AssertionIds,
    private readonly clusterKeys: ClusterKeys,
    private readonly limits: RateLimits,
    private readonly address: ServiceAddress,
    private readonly clock: DatabaseClock,
  ) {}

  /** What became of the request whose key signed the bearer. @throws unauthenticated */
  async read(source: Source, id: string, authorization: string | undefined): Promise<JoinRequestState> {
    const request = await this.authenticate(source, id, authorization);
    const now = this.clock.now();
    const state = stateOf(request, now);
    if (state.status !== 'approved') return state;
    const certificate = await this.certificates.get(source, request, now);
    const { pem: trustBundle } = await this.trust.bundle(request.clusterId);
    const { keys } = await this.clusterKeys.jwks(request.clusterId);
    return {
      ...state,
      // The root issues by itself: nothing stands between it and the certificate.
      ...(certificate !== null && { certificate, certificateChain: '' }),
      trustBundle,
      jwks: { keys: keys as NonNullable<JoinRequestState['jwks']>['keys'] },
    };
  }

  /** Takes the request back, and gives the use of its token back; again changes nothing.
   *  @throws unauthenticated; conflict `join_request_decided`; stale */
  async cancel(source: Source, id: string, authorization: string | undefined): Promise<void> {
    const { nodeName } = await this.authenticate(source, id, authorization);
    const agent: Actor = { type: 'anonymous', id: null, displayName: nodeName, ...source };
    return this.transactor.mutateDirect(agent, async (tx) => {
      const request = await this.requests.lock(tx, id);
      if (request === null) throw new Error(`join request ${id} is gone`);
      const now = await tx.clock();
      tx.requireMatch(contentEtag(stateOf(request, now)));
      if (request.status === 'cancelled') return { result: undefined, unchanged: true };
      requireUndecided(request, 'cancelled', now);
      await this.requests.decide(tx, id, { status: 'cancelled' }, null);
      await this.joinTokens.giveBack(tx, request.tokenId, request.nodeFingerprint);
      return { result: undefined, events: [joinRequestEnded(request, 'cancelled', null)] };
    });
  }

  /** Unknown ids, foreign keys and used bearers look alike; only clock and audience are told, which tell nothing. */
  private async authenticate(
    source: Source,
    id: string,
    authorization: string | undefined,
  ): Promise<JoinRequest> {
    const bearer = BEARER.exec(authorization ?? '')?.[1];
    const now = this.clock.now();
    if (bearer === undefined)
      throw refused('Send a bearer JWT signed by the node key in the Authorization header.', now);
    const request = isUuid(id)
      ? await this.requests.findById((statement) => this.database.query(statement), id)
      : null;
    const claims = request === null ? null : await signedClaims(bearer, readNodeKey(request.publicKey));
    if (request === null || claims === null) {
      await this.limits.countUnknown(source.ip);
      throw refused(UNKNOWN, now, {
        reason: request === null ? 'no such request' : 'signature does not match',
      });
    }
    const { audience, publicUrl } = this.address;
    const rule = {
      subject: request.id,
      maxLifetimeSeconds: MAX_LIFETIME_SECONDS,
      acceptsAudience: (aud: string | string[] | undefined) => audience.accepts(aud),
    };
    const fault = assertionFault(claims, rule, now);
    if (fault !== null) {
      const expected: Record<string, string> =
        fault.fault === 'audience' ? { expectedAudience: publicUrl } : {};
      throw refused(fault.detail, now, { reason: fault.detail, extensions: expected });
    }
    const expiresAt = new Date((Number(claims.exp) + CLOCK_SKEW_SECONDS) * 1000);
    if (!(await this.assertionIds.take(`join-request:${request.id}`, String(claims.jti), expiresAt))) {
      throw refused('This bearer was used before; make a new one with another jti.', now, {
        reason: 'jti used before',
      });
    }
    return request;
  }
}

const UNKNOWN = 'The join request is unknown, or the bearer is not signed by its key.';

/** What the agent is told, keys and certificates left out. */
function stateOf(request: JoinRequest, now: Date): JoinRequestState {
  const { clusterId, approvedNodeId, rejectionReason } = request;
  return {
    status: joinRequestStatus(request, now),
    clusterId,
    ...(approvedNodeId === null ? {} : { nodeId: approvedNodeId }),
    ...(rejectionReason === null ? {} : { rejectionReason }),
  };
}

function refused(
  message: string,
  now: Date,
  details: { reason?: string; extensions?: Record<string, string> } = {},
) {
  const extensions = { serverTime: now.toISOString(), ...details.extensions };
  return unauthenticated('unauthenticated', message, { ...details, extensions });
}
