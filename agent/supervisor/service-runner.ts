import { v4 as uuid } from 'uuid';
import type { Log } from '../log.js';
import { probe } from './health-probe.js';
import type { ServiceFiles } from './service-files.js';
import {
  advance,
  type Effect,
  newService,
  type ServiceEvent,
  type ServiceState,
  wakeAt,
} from './service-machine.js';
import type { Order } from './service-order.js';
import { ServiceOutput } from './service-output.js';
import { environmentOf, type ProcessHome, ServiceProcess } from './service-process.js';
import { reportOf, type ServiceReport } from './service-report.js';

/**
 * New output alone is reported too, soon after a change of state and ever more rarely after that: what a
 * service says when it has just come up is worth more than the thousandth line.
 */
const LOG_REPORT_MS = { first: 1_000, longest: 60_000 };

/** What a runner is told of its surroundings. */
export interface RunnerContext {
  log: Log;
  nodeEnv: Readonly<Record<string, string>>;
  /** Called at each change of what is to be reported, with what the service wrote last. */
  onReport: (report: ServiceReport, logTail: string) => void;
}

/** Does what the state machine of one service asks for: real processes, real checks, real time. */
export class ServiceRunner {
  private state: ServiceState = newService(uuid());
  private process: Promise<ServiceProcess> | null = null;
  private timer: NodeJS.Timeout | undefined;
  /** Aborts the checks of the present process. */
  private checks = new AbortController();
  private lastReport = '';
  private logTimer: NodeJS.Timeout | undefined;
  private logDelayMs = LOG_REPORT_MS.first;
  private readonly home: ProcessHome;
  private readonly waiters = new Set<() => void>();

  constructor(
    private readonly serviceType: string,
    private readonly files: ServiceFiles,
    private readonly context: RunnerContext,
  ) {
    const { log, nodeEnv } = context;
    const output = new ServiceOutput(files.logFile, {
      written: () => this.reportLater(),
      troubled: (error) => log.warn('workload.not_logged', { serviceType, detail: error.message }),
    });
    this.home = { files, output, log, nodeEnv };
  }

  /** What the service is to do from now on. What must not run any more is asked to stop before this returns. */
  order(order: Order): void {
    this.handle({ kind: 'ordered', order });
  }

  get report(): ServiceReport {
    return reportOf(this.serviceType, this.state);
  }

  /** A process of it is to run. */
  get isWanted(): boolean {
    return this.state.order.kind === 'run';
  }

  /** There is no process, and none is coming. */
  get isAtRest(): boolean {
    return this.state.phase.at === 'rest';
  }

  /** Resolves once the service is at rest; it has to be ordered to. */
  async whenAtRest(): Promise<void> {
    while (!this.isAtRest) await new Promise<void>((resolve) => this.waiters.add(resolve));
    await this.home.output.close();
  }

  /** Removes what is kept of the service. Only at rest; a process that is started from now on finds it gone. */
  async forget(): Promise<void> {
    await Promise.all([this.home.output.close(), this.files.remove()]);
  }

  private handle(event: ServiceEvent): void {
    const now = performance.now();
    const { state, effects } = advance(this.state, event, { now, newId: uuid() });
    this.state = state;
    for (const effect of effects) this.perform(effect);
    this.schedule(now);
    this.publish();
    if (!this.isAtRest) return;
    for (const resolve of this.waiters) resolve();
    this.waiters.clear();
  }

  private schedule(now: number): void {
    clearTimeout(this.timer);
    const at = wakeAt(this.state);
    if (at === null) return;
    // One more: timers may come a moment early, and would come again at once.
    this.timer = setTimeout(() => this.handle({ kind: 'tick' }), Math.max(0, at - now) + 1);
  }

  private perform(effect: Effect): void {
    switch (effect) {
      case 'start':
        this.process = this.start();
        break;
      case 'stop':
        this.checks.abort();
        void this.process?.then((process) => process.stop()).catch(() => undefined); // `start` says what failed
        break;
      case 'check':
        void this.check();
        break;
    }
  }

  private start(): Promise<ServiceProcess> {
    const { order, instanceId } = this.state;
    if (order.kind !== 'run') throw new Error(`${this.serviceType} is to start and is not wanted`);
    this.checks = new AbortController();
    const starting = ServiceProcess.start(order.launch, instanceId, this.home);
    void this.follow(starting);
    return starting;
  }

  private async follow(starting: Promise<ServiceProcess>): Promise<void> {
    const { checks } = this;
    let process: ServiceProcess;
    try {
      process = await starting;
    } catch (error) {
      const text = `could not be started: ${(error as Error).message}`;
      this.handle({ kind: 'ended', ending: { isSuccess: false, text } });
      return;
    }
    const { serviceType } = this;
    this.context.log.info('workload.started', {
      serviceType,
      pid: process.pid,
      instanceId: this.state.instanceId,
    });
    this.handle({ kind: 'started' });
    await process.exited;
    checks.abort(); // also one that hangs, which would be waited for as a part of it
    this.handle({ kind: 'exited' });
    const ending = await process.ended;
    this.context.log.info('workload.ended', { serviceType, pid: process.pid, detail: ending.text });
    this.handle({ kind: 'ended', ending });
  }

  private async check(): Promise<void> {
    const { order, phase, instanceId } = this.state;
    if (order.kind !== 'run' || order.check === null || !('make' in order.check) || phase.at !== 'live')
      return;
    const { checkRound } = phase;
    const { cwd } = order.launch;
    const home = { cwd, env: environmentOf(order.launch, instanceId, this.home) };
    const complaint = await probe(order.check.make, home, this.checks.signal);
    this.handle({ kind: 'checked', instanceId, checkRound, complaint });
  }

  /** Says a change of state at once. */
  private publish(): void {
    const { report } = this;
    const text = JSON.stringify(report);
    if (text === this.lastReport) return;
    this.lastReport = text;
    this.context.log.info('workload.changed', { ...report });
    this.logDelayMs = LOG_REPORT_MS.first;
    this.send();
  }

  private reportLater(): void {
    if (this.logTimer !== undefined) return;
    this.logTimer = setTimeout(() => {
      this.logDelayMs = Math.min(LOG_REPORT_MS.longest, this.logDelayMs * 2);
      this.send();
    }, this.logDelayMs);
    this.logTimer.unref(); // no reason for the agent to live on
  }

  private send(): void {
    clearTimeout(this.logTimer);
    this.logTimer = undefined;
    const { order } = this.state;
    const instead = order.kind === 'rest' && this.isAtRest ? order.logTail : undefined;
    this.context.onReport(this.report, instead ?? this.home.output.tail());
  }
}
