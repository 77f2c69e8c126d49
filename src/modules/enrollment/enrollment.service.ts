import { Injectable } from '@nestjs/common';
import type { AuditEvents } from '../../common/audit/audit-event.js';
import { DatabaseClock } from '../../common/database/database-clock.js';
import { DomainError, invalid, unauthenticated } from '../../common/errors/domain-error.js';
import { RateLimits } from '../../common/http/rate-limits.js';
import { ServiceAddress } from '../../common/http/service-address.js';
import { Jobs } from '../../common/jobs/jobs.js';
import { type Actor, systemActor } from '../../common/request/actor.js';
import { type Outcome, Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { AuthorityService } from '../authority/authority.service.js';
import { type NodeKey, readNodeKey } from '../nodes/node-key.js';
import { keyNotFresh, readCsr } from '../trust/csr.js';
import type { Enroll, EnrollAnswer } from './enrollment.schema.js';
import { EXPIRY_JOB } from './enrollment-expiry.js';
import { checkProof } from './enrollment-proof.js';
import { JoinApprovalsService } from './join-approvals.service.js';
import {
  changedClaims,
  type JoinRequest,
  joinRequestReceived,
  joinRequestStatus,
  joinRequestUpdated,
  type NodeClaims,
  REQUEST_LIFETIME_MS,
} from './join-request.js';
import { SKEW_WORTH_A_WARNING_SECONDS } from './join-request-warnings.js';
import { JoinRequestsRepository } from './join-requests.repository.js';
import { type JoinToken, type JoinTokenRefusal, joinTokenRefused, joinTokenStatus } from './join-token.js';
import { outsideScope } from './join-token-scope.js';
import { JoinTokensRepository } from './join-tokens.repository.js';
import { JoinTokensService } from './join-tokens.service.js';

/** Where a call comes from that nobody has authenticated. */
export interface Source {
  ip: string;
  userAgent: string | null;
}

/** What a node asks with, its proof checked. */
interface Application {
  claims: NodeClaims;
  /** The cluster that it means to join; undefined: that of the token, whichever it is. */
  meantClusterId: string | undefined;
  key: NodeKey;
  clockSkewSeconds: number;
}

/** How soon an agent asks for the decision: a person is waiting beside it. */
const POLL_AFTER_SECONDS = 5;

/** A token that this service issued and does not take. Leaves the transaction, which has changed nothing. */
class TokenRefused extends Error {
  constructor(
    readonly token: JoinToken,
    readonly refusal: JoinTokenRefusal,
    readonly detail: string,
  ) {
    super(detail);
  }
}

/** Takes join requests of node agents. Nothing is written before the proof of possession holds. */
@Injectable()
export class EnrollmentService {
  constructor(
    private readonly transactor: Transactor,
    private readonly joinTokens: JoinTokensService,
    private readonly tokens: JoinTokensRepository,
    private readonly requests: JoinRequestsRepository,
    private readonly approvals: JoinApprovalsService,
    private readonly authorities: AuthorityService,
    private readonly limits: RateLimits,
    private readonly address: ServiceAddress,
    private readonly clock: DatabaseClock,
    private readonly jobs: Jobs,
  ) {}

  /**
   * Makes a join request and spends a use of the token with it. The same key and token again get the same request.
   * @throws invalid; unauthenticated `proof_invalid`, `join_token_invalid` (whatever is wrong with the token)
   */
  async enroll(source: Source, body: Enroll, sentBody: unknown): Promise<EnrollAnswer> {
    const key = keyIn(body);
    requireFreshCsr(body, key);
    const clockSkewSeconds = await this.requireProof(key, body, sentBody);
    const application = {
      claims: claimsOf(body, key),
      meantClusterId: body.clusterId?.toLowerCase(),
      key,
      clockSkewSeconds,
    };
    const token = await this.joinTokens.identify(body.token);
    if (token === null) {
      // A guess leaves a line in the log and a point at the address; rows are for tokens that exist.
      await this.limits.countUnknown(source.ip);
      throw joinTokenInvalid('nobody issued this token');
    }
    const agent: Actor = { type: 'anonymous', id: null, displayName: body.nodeName, ...source };
    try {
      return await this.apply(agent, source, token, application);
    } catch (error) {
      if (!(error instanceof TokenRefused)) throw error;
      const { nodeName, nodeFingerprint } = application.claims;
      const event = joinTokenRefused(error.token, error.refusal, { nodeName, nodeFingerprint }, error.detail);
      await this.transactor.record(agent, event);
      throw joinTokenInvalid(error.detail);
    }
  }

  private async apply(
    agent: Actor,
    source: Source,
    token: Pick<JoinToken, 'id' | 'clusterId' | 'autoApprove'>,
    application: Application,
  ): Promise<EnrollAnswer> {
    const work = (automatically: boolean) => (tx: Tx) => this.takeIn(tx, token, application, automatically);
    if (token.autoApprove) {
      try {
        return await this.transactor.mutateDirect({ ...systemActor('auto-approval'), ...source }, work(true));
      } catch (error) {
        // What keeps the node from being admitted without a review is for a reviewer to see.
        if (!(error instanceof DomainError) || (error.kind !== 'conflict' && error.kind !== 'invalid'))
          throw error;
      }
    }
    return this.transactor.mutateDirect(agent, work(false));
  }

  private async takeIn(
    tx: Tx,
    { id: tokenId, clusterId }: Pick<JoinToken, 'id' | 'clusterId'>,
    application: Application,
    automatically: boolean,
  ): Promise<Outcome<EnrollAnswer>> {
    const { claims, key } = application;
    const cluster = await this.authorities.hold(tx, clusterId, automatically);
    const token = await this.tokens.lock(tx, tokenId);
    if (cluster === null || token === null) throw new Error(`join token ${tokenId} is gone`);
    if (cluster.status === 'archived')
      throw new TokenRefused(token, 'cluster_archived', 'The cluster is archived.');
    const { meantClusterId } = application;
    if (meantClusterId !== undefined && meantClusterId !== clusterId)
      throw new TokenRefused(token, 'foreign_cluster', 'The host means to join another cluster.');
    const known = await this.requests.lockByKey(tx, tokenId, key.thumbprint);
    const now = await tx.clock(); // after the locks: token or request may have expired while we waited
    // A key that has its use repeats freely, whatever became of the token: a lost answer strands nobody.
    if (known !== null) return this.repeat(tx, known, token, application, now);
    const status = joinTokenStatus(token, now);
    if (status !== 'active') throw new TokenRefused(token, status, `The join token is ${status}.`);
    requireScope(token, claims.nodeName, claims.requestedRoles);
    const request = await this.make(tx, token, application, now);
    const received = joinRequestReceived(request);
    const admits =
      automatically &&
      cluster.state === 'authoritative' &&
      (await this.approvals.mayAdmitUnseen(tx, request));
    if (!admits) return { result: answer(request, now), events: [received] };
    const { approved, events } = await this.approvals.approveAutomatically(tx, request, token);
    return { result: answer(approved, now), events: [received, ...events] };
  }

  private async make(
    tx: Tx,
    token: JoinToken,
    { claims, key, clockSkewSeconds }: Application,
    now: Date,
  ): Promise<JoinRequest> {
    const request: JoinRequest = {
      ...claims,
      id: tx.newId(),
      clusterId: token.clusterId,
      tokenId: token.id,
      publicKey: key.jwk,
      clockSkewSeconds,
      status: 'pending',
      expiresAt: new Date(now.getTime() + REQUEST_LIFETIME_MS),
      reviewedBy: null,
      reviewedAt: null,
      approvedNodeId: null,
      rejectionReason: null,
      certificate: null,
      createdAt: now,
    };
    await this.tokens.addUse(tx, token.id, key.thumbprint);
    await this.requests.insert(tx, request);
    const { queue, name } = EXPIRY_JOB;
    tx.afterCommit(() => void this.jobs.enqueue(queue, name, request.id, { delayMs: REQUEST_LIFETIME_MS }));
    return request;
  }

  /** The request as it stands; while it is pending, what the node says of itself now replaces what it said before. */
  private async repeat(
    tx: Tx,
    known: JoinRequest,
    token: JoinToken,
    { claims, clockSkewSeconds }: Application,
    now: Date,
  ): Promise<Outcome<EnrollAnswer>> {
    const result = answer(known, now);
    if (result.status !== 'pending') return { result, unchanged: true };
    requireScope(token, known.nodeName, claims.requestedRoles);
    const changed: string[] = changedClaims(known, claims);
    const isWarned = (seconds: number) => Math.abs(seconds) > SKEW_WORTH_A_WARNING_SECONDS;
    if (isWarned(known.clockSkewSeconds) !== isWarned(clockSkewSeconds)) changed.push('clockSkew');
    if (changed.length === 0) return { result, unchanged: true };
    const { nodeName, nodeFingerprint } = known;
    const next = { ...known, ...claims, nodeName, nodeFingerprint, clockSkewSeconds };
    await this.requests.update(tx, known.id, next, clockSkewSeconds);
    const events: AuditEvents = [joinRequestUpdated(known, next, changed)];
    return { result, events };
  }

  private async requireProof(key: NodeKey, body: Enroll, sentBody: unknown): Promise<number> {
    const now = this.clock.now();
    const { audience, publicUrl } = this.address;
    const acceptsAudience = (aud: string | readonly string[] | undefined) => audience.accepts(aud);
    const verdict = await checkProof(body.proof, { key, token: body.token, sentBody, acceptsAudience, now });
    if ('clockSkewSeconds' in verdict) return verdict.clockSkewSeconds;
    const expected = verdict.fault === 'audience' ? { expectedAudience: publicUrl } : {};
    throw unauthenticated('proof_invalid', verdict.detail, {
      extensions: { serverTime: now.toISOString(), ...expected },
      reason: verdict.fault,
    });
  }
}

function keyIn(body: Enroll): NodeKey {
  try {
    return readNodeKey(body.publicKey);
  } catch (cause) {
    const errors = [{ pointer: '#/publicKey', message: 'Not a point on the curve that may be a key.' }];
    throw invalid('invalid_request', 'publicKey is not a usable public key.', { errors, cause });
  }
}

/** @throws invalid `csr_invalid` */
function requireFreshCsr({ csr }: Enroll, { thumbprint }: NodeKey): void {
  if (csr !== undefined && readCsr(csr).thumbprint === thumbprint)
    throw keyNotFresh('It is the identity key.');
}

/** Sorted and without doubles, so that the digest does not depend on the order in which an agent happens to list. */
function claimsOf(body: Enroll, key: NodeKey): NodeClaims {
  return {
    nodeName: body.nodeName,
    nodeFingerprint: key.thumbprint,
    reportedCapabilities: [...new Set(body.capabilities)].sort(),
    reportedFacts: body.facts,
    requestedRoles: [...new Set(body.requestedRoles)].sort(),
    agentVersion: body.agentVersion,
    csr: body.csr ?? null,
  };
}

function requireScope(token: JoinToken, nodeName: string, roles: readonly string[]): void {
  const outside = outsideScope(token.scope, { nodeName, roles });
  if (outside.length === 0) return;
  throw new TokenRefused(token, 'outside_scope', outside.map(({ detail }) => detail).join(' '));
}

function answer(request: JoinRequest, now: Date): EnrollAnswer {
  const { id: joinRequestId, clusterId } = request;
  return {
    joinRequestId,
    clusterId,
    status: joinRequestStatus(request, now),
    pollAfterSeconds: POLL_AFTER_SECONDS,
  };
}

function joinTokenInvalid(reason: string) {
  return unauthenticated('join_token_invalid', 'The join token is not valid.', { reason });
}
