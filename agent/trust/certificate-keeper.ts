import { Alarm } from '../alarm.js';
import { type Fields, fieldsOf, optionalNumber, textField } from '../answer-fields.js';
import { ApiRefusal, ServerAway } from '../api-errors.js';
import { certificateAssertion } from '../assertions.js';
import { backoffMs, refusalMs } from '../backoff.js';
import type { HeartbeatPart } from '../heartbeat-part.js';
import { afterFailure, type LoopContext } from '../loop.js';
import type { NodeApi } from '../node-api.js';
import type { ServerClock } from '../server-clock.js';
import type { NodeIdentity } from '../token-source.js';
import { takeCertificate } from './certificate-intake.js';
import { isRooted, type NodeCertificate } from './node-certificate.js';
import {
  type CertificateWish,
  type RenewalReason,
  type RenewalWindow,
  renewalOf,
  windowPollMs,
} from './renewal-plan.js';
import type { TrustStore } from './trust-store.js';
import { Untrusted } from './untrusted.js';

/** Answers that say "not now": an operator, or the cluster's authority, has to change something first. */
const NOT_NOW: readonly string[] = ['membership_disabled', 'cluster_not_authoritative', 'cluster_archived'];
/** Longest wait before looking at the clock again: timers stand still while the host sleeps. */
const LOOK_AGAIN_MS = 60_000;

/**
 * Sees to it that the node has a certificate in its time: asks for the first one, renews each with a new key when the
 * control plane wants it, and keeps the old one until the new one is on disk. Without a certificate the agent does all
 * else as before, so nothing here ends it but the end of the identity.
 */
export class CertificateKeeper implements HeartbeatPart {
  private readonly alarm = new Alarm();
  private window: RenewalWindow | null = null;
  private windowAskedAt: number | null = null;
  private expiredSerial: string | null = null;
  /** What has to change before another try makes sense; null when nothing stands in the way. */
  private waitsFor: 'server' | 'standing' | null = null;
  private standing = '';

  constructor(
    private readonly api: NodeApi,
    private readonly node: NodeIdentity,
    private readonly store: TrustStore,
    private readonly clock: ServerClock,
    private readonly context: LoopContext,
    private readonly wish: CertificateWish,
    /** The node's membership as its snapshot has it. */
    private readonly membership: () => string | null,
  ) {}

  report(): Record<string, unknown> {
    return {};
  }

  /** The control plane is back, or the node's standing with it has changed: no need to wait any longer. */
  heard(answer: Fields): void {
    const standing = `${optionalNumber(answer, 'authorityTerm')} ${this.membership()}`;
    const hasChanged = standing !== this.standing;
    this.standing = standing;
    if (this.waitsFor === 'server' || (this.waitsFor === 'standing' && hasChanged)) this.alarm.ring();
  }

  /** Bundle or lists have changed: whether the certificate still counts is to be looked at. */
  lookAgain(): void {
    this.alarm.ring();
  }

  /** Keeps until stopped. @throws IdentityRefused */
  async run(): Promise<void> {
    const { stop } = this.context;
    for (let failures = 0; !stop.aborted; ) {
      let waitMs: number;
      try {
        waitMs = await this.round();
        this.waitsFor = null;
        failures = 0;
      } catch (error) {
        waitMs = await this.afterRefusal(error, failures);
        failures += 1;
      }
      await this.alarm.sleep(waitMs, stop);
    }
  }

  /** Does what is due and returns when to look again, in milliseconds. */
  private async round(): Promise<number> {
    const { certificate: held, bundle, lists } = this.store.current;
    this.sayWhenExpired(held);
    const { at, reason } = renewalOf({
      held,
      wish: this.wish,
      isRooted: held !== null && bundle !== null && isRooted(held, bundle),
      isRevoked: held !== null && lists.some(({ serials }) => serials.has(held.serial)),
      window: this.window,
    });
    const now = this.clock.now();
    if (at <= now) {
      await this.renew(reason);
      return 0;
    }
    const pollMs = held === null ? LOOK_AGAIN_MS : this.nextQuestionMs(held);
    if (pollMs <= 0) {
      await this.askForWindow();
      return 0;
    }
    return Math.min(LOOK_AGAIN_MS, pollMs, at.getTime() - now.getTime());
  }

  private async renew(reason: RenewalReason): Promise<void> {
    const { keyType, lifetimeSeconds } = this.wish;
    const { key, csr } = await this.store.requests.open(keyType, this.store.current.certificate?.key ?? null);
    const { keys, nodeId, clusterId, audience } = this.node;
    const claims = { nodeId, clusterId, audience, csr, now: this.clock.now() };
    const assertion = await certificateAssertion(keys.current, claims);
    const json = { csr, assertion, ...(lifetimeSeconds !== null && { lifetimeSeconds }) };
    const { body } = await this.api.send({ method: 'POST', path: '/certificates', json });
    const order = { key, wish: this.wish, nodeId, clusterId, now: this.clock.now() };
    const certificate = await takeCertificate(this.store, fieldsOf(body, 'body'), order);
    this.windowAskedAt = performance.now(); // what came with it is news
    this.context.log.info('certificate.issued', {
      serial: certificate.serial,
      notAfter: certificate.notAfter.toISOString(),
      renewAfter: certificate.renewAfter,
      reason,
    });
  }

  private nextQuestionMs(held: NodeCertificate): number {
    const askedAt = this.windowAskedAt ?? Number.NEGATIVE_INFINITY;
    return askedAt + windowPollMs(held) - performance.now();
  }

  private async askForWindow(): Promise<void> {
    const answer = await this.api.send({ method: 'GET', path: '/certificates/renewal' });
    const fields = fieldsOf(answer.body, 'body');
    const { start, end } = fieldsOf(fields.suggestedWindow, '"suggestedWindow"');
    const [from, to] = [new Date(String(start)), new Date(String(end))];
    this.windowAskedAt = performance.now();
    if (Number.isNaN(from.getTime()) || Number.isNaN(to.getTime())) return;
    this.window = { serial: textField(fields, 'serial'), start: from, end: to };
  }

  /** An expired certificate ends nothing here; those who use it will want to know. */
  private sayWhenExpired(held: NodeCertificate | null): void {
    if (held === null || held.notAfter > this.clock.now() || held.serial === this.expiredSerial) return;
    this.expiredSerial = held.serial;
    const { serial, notAfter } = held;
    this.context.log.warn('certificate.expired', { serial, notAfter: notAfter.toISOString() });
  }

  /** Says what went wrong and returns how long to wait. @throws IdentityRefused */
  private async afterRefusal(error: unknown, failures: number): Promise<number> {
    const { log } = this.context;
    this.waitsFor = error instanceof ServerAway ? 'server' : null;
    this.sayWhenExpired(this.store.current.certificate);
    if (error instanceof Untrusted) {
      log.error('certificate.untrusted', { reason: error.reason, detail: error.message });
      await this.store.requests.drop();
      return refusalMs(failures, Math.random());
    }
    if (!(error instanceof ApiRefusal))
      return afterFailure(error, 'certificate.failed', failures, this.context);
    const { code, message: detail, serverTime } = error;
    log.warn('certificate.refused', { code, detail });
    if (code !== null && NOT_NOW.includes(code)) {
      this.waitsFor = 'standing';
      return refusalMs(failures, Math.random());
    }
    if (code === 'csr_invalid') await this.store.requests.drop(); // also when another node has this key
    if (code !== 'proof_invalid' || serverTime === null) return refusalMs(failures, Math.random());
    const at = Date.now();
    this.clock.observe(serverTime, { sentAt: at, receivedAt: at });
    return backoffMs(failures, Math.random());
  }
}
