import { fieldsOf } from '../answer-fields.js';
import { ApiRefusal, IdentityRefused } from '../api-errors.js';
import { backoffMs } from '../backoff.js';
import type { Log } from '../log.js';
import type { NodeApi } from '../node-api.js';
import type { ServerClock } from '../server-clock.js';
import { pause } from '../waiting.js';
import type { AssignmentReporter } from './assignment-reporter.js';
import { setbackOf } from './lease-refusal.js';
import { type HeldLease, heldLease } from './lease-terms.js';
import type { SteadyClock } from './steady-clock.js';
import type { TokenMemory } from './token-memory.js';
import type { VpnAssignment } from './vpn-assignment.js';
import type { VpnDriver } from './vpn-driver.js';

/** A call for a lease must not outlast the lease; a lost one is asked for again. */
const CALL_TIMEOUT_MS = 5_000;
/** Nodes that hear of a free connection together do not ask together. */
const FIRST_ACQUIRE_SPREAD_MS = 500;
/** How long a release is tried on the way out; the lease ends by itself if it does not get through. */
const RELEASE_TIMEOUT_MS = 2_000;
/** So that another node may have the connection: after a driver that failed, or a recall. */
const STAND_BACK_MS = 15_000;

/** What one connection's loop works with. */
export interface LeaseLoopContext {
  api: NodeApi;
  /** The same, but not cut off when the agent is stopped: a lease is given back on the way out. */
  parting: NodeApi;
  clock: SteadyClock;
  serverClock: ServerClock;
  /** Go with each acquire: a control plane that was set back has not granted them yet, and notices. */
  tokensSeen: TokenMemory;
  /** Those whose release was sent. */
  givenBack: TokenMemory;
  reporter: AssignmentReporter;
  log: Log;
}

/**
 * Keeps the lease of one connection, and its driver up while it is held: acquires, renews at a third of the time, and
 * has the driver down before the lease can be another's, by a clock that nobody can set.
 */
export class LeaseLoop {
  private failures = 0;
  /** Aborts when there is a reason to ask sooner than planned. */
  private hint = new AbortController();

  constructor(
    readonly assignment: VpnAssignment,
    private readonly driver: VpnDriver,
    private readonly context: LeaseLoopContext,
  ) {}

  /** Runs until `stop` aborts; then the driver is down and the lease given back. @throws IdentityRefused */
  async run(stop: AbortSignal): Promise<void> {
    await pause(Math.random() * FIRST_ACQUIRE_SPREAD_MS, stop);
    while (!stop.aborted) {
      const lease = await this.acquire(stop);
      if (lease !== null) await this.hold(lease, stop);
    }
  }

  /** Something has become of the lease, by whatever the control plane hints at: it is asked for, or renewed, soon. */
  look(): void {
    this.hint.abort();
  }

  /** One attempt, and the wait after it when it brought nothing. */
  private async acquire(stop: AbortSignal): Promise<HeldLease | null> {
    const { connectionId } = this.assignment;
    this.hint = new AbortController(); // one that comes from here on is not answered yet
    const { tokensSeen, givenBack } = this.context;
    const tokenSeen = tokensSeen.highest(connectionId);
    try {
      const lease = await this.call('acquire', tokenSeen === null ? {} : { tokenSeen }, stop);
      // Before the driver gets it: after a crash a lower one must not look new.
      await tokensSeen.keep(connectionId, lease.token);
      if (lease.token <= (givenBack.highest(connectionId) ?? 0)) {
        await this.giveBackAgain(lease, stop);
        return null;
      }
      this.failures = 0;
      return lease;
    } catch (error) {
      if (error instanceof IdentityRefused) throw error;
      if (stop.aborted) return null;
      const setback = setbackOf(error, this.failures, this.context.serverClock.now(), Math.random());
      this.failures += 1;
      this.context.reporter.report(connectionId, setback.status, setback.message);
      await this.pauseUntil(this.context.clock.now() + setback.waitMs, [stop]);
      // All who may hold it have heard of it.
      if (this.hint.signal.aborted) await pause(Math.random() * FIRST_ACQUIRE_SPREAD_MS, stop);
      return null;
    }
  }

  /** It is still this node's, but a release of it may yet arrive, and would end it under the driver. */
  private async giveBackAgain(lease: HeldLease, stop: AbortSignal): Promise<void> {
    const { connectionId } = this.assignment;
    this.context.log.info('vpn.lease_given_back_again', { connectionId, token: lease.token });
    await this.release(lease, stop);
    await pause(backoffMs(this.failures++, Math.random()), stop);
  }

  /** From the grant to the end of the period. Whatever ends it, the driver is down when this returns. */
  private async hold(first: HeldLease, stop: AbortSignal): Promise<void> {
    const { driver } = this;
    const { connectionId, name } = this.assignment;
    const { log, reporter } = this.context;
    log.info('vpn.lease_held', { connectionId, name, token: first.token });
    // Renewed while it comes up, too: that may take longer than a lease.
    const coming = driver.start(this.assignment, first).then(
      () => reporter.report(connectionId, 'assigned', null),
      (error: Error) => log.error('vpn.driver_failed', { connectionId, detail: error.message }),
    );
    let last = first;
    try {
      last = await this.keep(first, stop);
    } finally {
      await driver.stop();
      await coming;
      log.info('vpn.driver_down', { connectionId, token: last.token });
    }
    await this.release(last, stop);
    if (stop.aborted) return;
    if (driver.failed.aborted) {
      reporter.report(connectionId, 'blocked', 'the driver of this host does not keep the tunnel up');
      await pause(STAND_BACK_MS * (0.5 + Math.random()), stop);
    } else {
      reporter.report(connectionId, 'lease_required', null);
      if (last.isRecalled) await pause(STAND_BACK_MS, stop);
    }
  }

  /** Renews until there is a reason to stop: told to, lost, recalled, out of time, or the driver has failed. */
  private async keep(first: HeldLease, stop: AbortSignal): Promise<HeldLease> {
    const { clock, log } = this.context;
    const { connectionId } = this.assignment;
    let lease = first;
    let retries = 0;
    let nextAtMs = lease.renewAtMs;
    while (!stop.aborted && !this.driver.failed.aborted && !lease.isRecalled) {
      const now = clock.now();
      if (now >= lease.stopAtMs) {
        log.warn('vpn.lease_running_out', { connectionId, token: lease.token });
        break;
      }
      if (now < nextAtMs && !this.hint.signal.aborted) {
        await this.pauseUntil(Math.min(nextAtMs, lease.stopAtMs), [stop, this.driver.failed]);
        continue;
      }
      this.hint = new AbortController();
      try {
        lease = await this.call('renew', { fencingToken: lease.token }, stop, lease.stopAtMs - now);
        this.driver.extend(lease);
        retries = 0;
        nextAtMs = lease.renewAtMs;
      } catch (error) {
        if (error instanceof IdentityRefused) throw error;
        if (isLost(error)) {
          log.warn('vpn.lease_lost', { connectionId, token: lease.token, detail: (error as Error).message });
          break;
        }
        nextAtMs = clock.now() + backoffMs(retries++, Math.random());
      }
    }
    return lease;
  }

  /** Ends early with one of these signals, or a hint. */
  private async pauseUntil(atMs: number, ends: readonly AbortSignal[]): Promise<void> {
    const either = new AbortController();
    const end = (): void => either.abort();
    const signals = [...ends, this.hint.signal];
    if (signals.some(({ aborted }) => aborted)) return;
    for (const signal of signals) signal.addEventListener('abort', end, { once: true });
    await pause(Math.max(0, atMs - this.context.clock.now()), either.signal);
    for (const signal of signals) signal.removeEventListener('abort', end);
  }

  private async call(
    act: 'acquire' | 'renew',
    json: Record<string, number>,
    stop: AbortSignal,
    leftMs = CALL_TIMEOUT_MS,
  ): Promise<HeldLease> {
    const sentAtMs = this.context.clock.now();
    const answer = await this.context.api.send({
      method: 'POST',
      path: `/vpn-connections/${this.assignment.connectionId}/lease/${act}`,
      json,
      timeoutMs: Math.max(1, Math.min(CALL_TIMEOUT_MS, leftMs)),
      signal: stop,
    });
    return heldLease(fieldsOf(answer.body, 'body'), sentAtMs, this.driver.stopMs, Math.random());
  }

  /**
   * Gives the lease back, so that nobody has to wait for its end. The driver is down by now. Repeated until it is heard
   * or the lease is over, but tried only once on the way out.
   */
  private async release({ token, validUntilMs }: HeldLease, stop: AbortSignal): Promise<void> {
    const { connectionId } = this.assignment;
    await this.context.givenBack.keep(connectionId, token);
    for (let retries = 0; ; retries += 1) {
      try {
        await this.context.parting.send({
          method: 'POST',
          path: `/vpn-connections/${connectionId}/lease/release`,
          json: { fencingToken: token },
          timeoutMs: RELEASE_TIMEOUT_MS,
        });
        return;
      } catch (error) {
        if (error instanceof IdentityRefused) throw error;
        this.context.log.debug('vpn.not_released', { connectionId, token, detail: (error as Error).message });
        const isOver = error instanceof ApiRefusal || this.context.clock.now() >= validUntilMs;
        if (isOver || stop.aborted) return;
      }
      await pause(backoffMs(retries, Math.random()), stop);
    }
  }
}

/** Whether the service says that the lease is over. Anything else may be worth a repeat. */
function isLost(error: unknown): boolean {
  return (
    error instanceof ApiRefusal &&
    (error.code === 'lease_lost' || error.status === 404 || error.status === 403)
  );
}
