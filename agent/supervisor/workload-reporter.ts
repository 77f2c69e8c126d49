import { ApiRefusal, IdentityRefused, ServerAway } from '../api-errors.js';
import { afterFailure, type LoopContext } from '../loop.js';
import type { NodeApi } from '../node-api.js';
import type { Turns } from '../turns.js';
import { pause } from '../waiting.js';
import type { ServiceReport } from './service-report.js';

/** A report as it is sent: with what the service wrote last. */
interface Outgoing {
  report: ServiceReport;
  logTail: string;
}

/** Changes of one service that wait to be sent; beyond that the oldest are dropped. */
const MAX_WAITING = 32;

/**
 * Tells the control plane of each change of a workload at once, one after another. While it is away only the
 * last state of each is kept: what came before happened at times that the service could not know any more.
 */
export class WorkloadReporter {
  private readonly waiting = new Map<string, Outgoing[]>();
  private wake: () => void = () => undefined;

  constructor(
    private readonly api: NodeApi,
    private readonly context: LoopContext,
    /** Shared with the heartbeats, which report the same. */
    private readonly turns: Turns,
  ) {}

  add(report: ServiceReport, logTail: string): void {
    const queue = this.waiting.get(report.serviceType) ?? [];
    this.waiting.set(report.serviceType, [...queue, { report, logTail }].slice(-MAX_WAITING));
    this.wake();
  }

  /** Sends what comes until stopped. @throws IdentityRefused */
  async run(): Promise<void> {
    const { stop } = this.context;
    stop.addEventListener('abort', () => this.wake(), { once: true });
    let failures = 0;
    while (!stop.aborted) {
      try {
        await this.sendAll(this.api, (work) => this.turns.takeUntil(stop, work));
        failures = 0;
        await this.next();
      } catch (error) {
        this.keepLatest();
        await pause(afterFailure(error, 'workload.report_failed', failures, this.context), stop);
        failures += 1;
      }
    }
  }

  /** Sends all that waits. @throws ServerAway, IdentityRefused; what was not sent waits on */
  flush(api: NodeApi): Promise<void> {
    return this.sendAll(api, (work) => this.turns.take(work));
  }

  private async sendAll(api: NodeApi, inTurn: (work: () => Promise<void>) => Promise<void>): Promise<void> {
    for (let next = this.first(); next !== null; next = this.first()) {
      const [serviceType, outgoing] = next;
      await inTurn(async () => {
        const isDue = this.waiting.get(serviceType)?.includes(outgoing) ?? false;
        if (isDue) await this.send(api, outgoing);
      });
      const rest = (this.waiting.get(serviceType) ?? []).filter((each) => each !== outgoing);
      if (rest.length === 0) this.waiting.delete(serviceType);
      else this.waiting.set(serviceType, rest);
    }
  }

  /** Drops all but the last of each service: a heartbeat is about to tell that, and must not be contradicted. */
  keepLatest(): void {
    for (const [serviceType, queue] of this.waiting) this.waiting.set(serviceType, queue.slice(-1));
  }

  /** Resolves at the next report, or on stop. */
  private next(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
      if (this.waiting.size > 0 || this.context.stop.aborted) resolve();
    });
  }

  private first(): [string, Outgoing] | null {
    for (const [serviceType, [outgoing]] of this.waiting)
      if (outgoing !== undefined) return [serviceType, outgoing];
    return null;
  }

  private async send(api: NodeApi, { report, logTail }: Outgoing): Promise<void> {
    const { serviceType, ...body } = wireReport(report);
    try {
      await api.send({
        method: 'PUT',
        path: `/workloads/${encodeURIComponent(serviceType)}/status`,
        json: { ...body, ...(logTail !== '' && { logTail }) },
      });
      this.context.presence.back();
    } catch (error) {
      if (error instanceof ServerAway || error instanceof IdentityRefused || !(error instanceof ApiRefusal))
        throw error;
      // It will not be taken the next time either, and the next heartbeat says the state again.
      this.context.log.warn('workload.report_refused', {
        serviceType,
        code: error.code,
        detail: error.message,
      });
    }
  }
}

/** A report in the form of the contract, where what is not known is left out. */
export function wireReport(report: ServiceReport): { serviceType: string } & Record<string, unknown> {
  const { serviceType, instanceId, reportedState, health, version, message } = report;
  return {
    serviceType,
    instanceId,
    reportedState,
    health,
    ...(version !== null && { version }),
    ...(message !== null && { message }),
  };
}
