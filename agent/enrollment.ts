import type { JWK } from 'jose';
import type { AgentState, EnrollmentState } from './agent-state.js';
import { type Fields, fieldsOf, optionalNumber, optionalText, textField } from './answer-fields.js';
import type { ApiAnswer, ApiCall, ApiClient } from './api-client.js';
import { ApiRefusal } from './api-errors.js';
import { enrollmentProof, joinRequestBearer } from './assertions.js';
import { jitteredMs } from './backoff.js';
import { AgentFailure, EXIT } from './exit.js';
import { describeHost } from './host-description.js';
import type { NodeKey } from './keys.js';
import type { Log } from './log.js';
import { whileAway } from './retry.js';
import type { ServerClock } from './server-clock.js';
import type { ServerPresence } from './server-presence.js';
import type { StateStore } from './state-store.js';
import { EnrollmentCertificate } from './trust/enrollment-certificate.js';
import { AGENT_VERSION } from './version.js';
import { pause } from './waiting.js';

type Pending = Extract<EnrollmentState, { status: 'pending' }>;
type Decided = Extract<EnrollmentState, { status: 'declined' | 'enrolled' }>;

const DEFAULT_POLL_SECONDS = 5;
const POLL_RANGE_SECONDS = { min: 1, max: 300 };
/** Refusals of the agent's own bearer in a row after which the request is taken as unknown to the service. */
const REFUSALS_UNTIL_UNKNOWN = 3;

/**
 * Takes a node from "asked by the operator" to a decision. Each step is in the state file before the next
 * begins, so that a crash anywhere repeats a step with the same key and the same token, which the service
 * answers with the same join request.
 */
export class Enrollment {
  private readonly certificate: EnrollmentCertificate;

  constructor(
    private readonly api: ApiClient,
    private readonly store: StateStore,
    private readonly clock: ServerClock,
    private readonly presence: ServerPresence,
    private readonly log: Log,
    private readonly stop: AbortSignal,
  ) {
    this.certificate = new EnrollmentCertificate(store.directory, clock, log);
  }

  /**
   * Sends the join request and remembers what came back. Repeating it while the request is pending is how
   * new facts reach the reviewer.
   * @throws AgentFailure (3) when the join token is not accepted
   */
  async request(state: AgentState, key: NodeKey, token: string): Promise<AgentState> {
    const body = { ...(await requestBody(state, key, token)), csr: await this.certificate.csr() };
    const answer = fieldsOf(await this.sendRequest(state, key, token, body), 'body');
    const pending: Pending = {
      status: 'pending',
      joinRequestId: textField(answer, 'joinRequestId'),
      clusterId: textField(answer, 'clusterId'),
      pollAfterSeconds: optionalNumber(answer, 'pollAfterSeconds') ?? DEFAULT_POLL_SECONDS,
    };
    const next = { ...state, enrollment: pending };
    await this.store.writeState(next);
    this.log.info('enrollment.pending', {
      joinRequestId: pending.joinRequestId,
      clusterId: pending.clusterId,
      nodeName: state.wish.nodeName,
      nodeFingerprint: key.thumbprint,
    });
    return next;
  }

  /**
   * Polls until somebody has decided, and remembers the decision. Null: stopped before that.
   * @throws AgentFailure (3) when the service does not know the request
   */
  async decision(state: AgentState, key: NodeKey): Promise<AgentState | null> {
    if (state.enrollment.status !== 'pending') return state;
    const pending = state.enrollment;
    while (!this.stop.aborted) {
      const answer = fieldsOf(await this.asMaker('GET', state, pending, key), 'body');
      const decided = decisionIn(answer, pending);
      if (decided !== null) return this.remember(state, decided, answer);
      const { min, max } = POLL_RANGE_SECONDS;
      const seconds = Math.min(max, Math.max(min, pending.pollAfterSeconds));
      await pause(jitteredMs(seconds, Math.random()), this.stop);
    }
    return null;
  }

  private async remember(state: AgentState, enrollment: Decided, answer: Fields): Promise<AgentState> {
    const next = { ...state, enrollment, refused: null };
    await this.store.writeState(next);
    if (enrollment.status === 'enrolled') {
      const { nodeId, clusterId } = enrollment;
      this.log.info('enrolled', { nodeId, clusterId, nodeName: state.wish.nodeName });
      await this.certificate.take(answer, { nodeId, clusterId });
    } else {
      this.log.error('enrollment.declined', { outcome: enrollment.outcome, reason: enrollment.reason });
    }
    return next;
  }

  private async sendRequest(
    state: AgentState,
    key: NodeKey,
    token: string,
    body: Record<string, unknown>,
  ): Promise<unknown> {
    const attempt = async (): Promise<ApiAnswer> => {
      const audience = state.baseUrl;
      const proof = await enrollmentProof(key, { audience, token, body, now: this.clock.now() });
      return this.api.send({
        method: 'POST',
        path: '/api/v1/node-agents/enroll',
        json: { ...body, proof },
      });
    };
    try {
      return (await whileAway(() => this.withServerTime(attempt), this.presence, this.stop)).body;
    } catch (error) {
      if (error instanceof ApiRefusal && error.code === 'join_token_invalid') {
        throw new AgentFailure(`not admitted: ${error.message}`, EXIT.notAdmitted, { cause: error });
      }
      throw error;
    }
  }

  /**
   * Takes the request back and remembers that.
   * @throws AgentFailure when it was decided in the meantime; (3) when the service does not know the request
   */
  async cancel(state: AgentState, key: NodeKey): Promise<void> {
    if (state.enrollment.status !== 'pending') throw new AgentFailure('the join request was decided already');
    const { joinRequestId } = state.enrollment;
    try {
      await this.asMaker('DELETE', state, state.enrollment, key);
    } catch (error) {
      if (!(error instanceof ApiRefusal) || error.code !== 'join_request_decided') throw error;
      throw new AgentFailure(`not cancelled: ${error.message}`, EXIT.failed, { cause: error });
    }
    const enrollment: Decided = { status: 'declined', outcome: 'cancelled', reason: null };
    await this.store.writeState({ ...state, enrollment });
    this.log.info('enrollment.cancelled', { joinRequestId });
  }

  /** Reads or deletes the request, as the one who made it. */
  private async asMaker(
    method: 'GET' | 'DELETE',
    state: AgentState,
    pending: Pending,
    key: NodeKey,
  ): Promise<unknown> {
    const attempt = async (): Promise<ApiAnswer> => {
      const claims = { joinRequestId: pending.joinRequestId, audience: state.baseUrl, now: this.clock.now() };
      const call: ApiCall = {
        method,
        path: `/api/v1/node-agents/enroll/${encodeURIComponent(pending.joinRequestId)}`,
        bearer: await joinRequestBearer(key, claims),
      };
      return this.api.send(call);
    };
    for (let refusals = 1; ; refusals += 1) {
      try {
        return (await whileAway(() => this.withServerTime(attempt), this.presence, this.stop)).body;
      } catch (error) {
        if (!(error instanceof ApiRefusal) || error.status !== 401) throw error;
        this.log.warn('enrollment.poll_refused', { detail: error.message });
        if (refusals === REFUSALS_UNTIL_UNKNOWN) {
          const text = `the control plane refuses to tell about this join request: ${error.message}`;
          throw new AgentFailure(text, EXIT.notAdmitted, { cause: error });
        }
        await pause(jitteredMs(pending.pollAfterSeconds, Math.random()), this.stop);
      }
    }
  }

  /** One more try with the right time when a 401 tells the server's: this host's clock was the reason. */
  private async withServerTime(attempt: () => Promise<ApiAnswer>): Promise<ApiAnswer> {
    const sentAt = Date.now();
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof ApiRefusal) || error.status !== 401 || error.serverTime === null) throw error;
      this.clock.observe(error.serverTime, { sentAt, receivedAt: Date.now() });
      this.log.warn('clock.corrected', { offsetMs: this.clock.offsetMs });
      return attempt();
    }
  }
}

async function requestBody(state: AgentState, key: NodeKey, token: string): Promise<Record<string, unknown>> {
  const { wish } = state;
  const { facts, capabilities } = await describeHost(wish);
  return {
    token,
    nodeName: wish.nodeName,
    publicKey: key.publicJwk,
    facts,
    capabilities,
    requestedRoles: wish.requestedRoles,
    agentVersion: AGENT_VERSION,
    ...(wish.clusterId !== undefined && { clusterId: wish.clusterId }),
  };
}

/** The decision in a poll's answer, or null while there is none. */
function decisionIn(answer: Fields, pending: Pending): Decided | null {
  const status = textField(answer, 'status');
  switch (status) {
    case 'pending':
      return null;
    case 'approved': {
      const nodeId = textField(answer, 'nodeId');
      const clusterId = textField(answer, 'clusterId');
      if (clusterId !== pending.clusterId) {
        throw new AgentFailure(`approved for cluster ${clusterId}, but asked to join ${pending.clusterId}`);
      }
      const enrolledAt = new Date().toISOString();
      return { status: 'enrolled', nodeId, clusterId, enrolledAt, snapshotKeys: keysOf(answer.jwks) };
    }
    case 'rejected':
    case 'expired':
    case 'cancelled':
      return { status: 'declined', outcome: status, reason: optionalText(answer, 'rejectionReason') };
    default:
      throw new AgentFailure(`the control plane answers with a status unknown to this agent: ${status}`);
  }
}

/** The keys of a JWK set; none when it is absent, then they come from the cluster's trust endpoint. */
function keysOf(jwks: unknown): JWK[] {
  const keys = typeof jwks === 'object' && jwks !== null ? (jwks as Fields).keys : null;
  return Array.isArray(keys) ? (keys as JWK[]) : [];
}
