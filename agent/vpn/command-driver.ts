import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { messagesIn } from '../json-lines.js';
import type { Log } from '../log.js';
import { processRow } from '../process-table.js';
import type { CommandDriverConfig } from './driver-config.js';
import { takeDown } from './driver-guard.js';
import type { GuardDeadline, GuardMessage, GuardOrder, GuardReport } from './guard-protocol.js';
import type { SteadyClock } from './steady-clock.js';
import type { TunnelRecords } from './tunnel-record.js';
import type { VpnAssignment } from './vpn-assignment.js';
import type { DriverLease, VpnDriver } from './vpn-driver.js';

/** The agent's own program; this file lies one folder below it when it is built. */
const PROGRAM = fileURLToPath(new URL('../main.js', import.meta.url));

interface Running {
  child: ChildProcess;
  record: Parameters<TunnelRecords['write']>[0];
  ended: Promise<unknown>;
  /** The guard knows what to do; nothing may come before its order. */
  hasOrder: boolean;
}

/** Brings tunnels up and down by commands of the host, each under a guard that outlives this process if need be. */
export class CommandDriver implements VpnDriver {
  readonly stopMs: number;
  private failure = new AbortController();
  private running: Running | null = null;
  /** As it was last extended, also while the guard is only about to get its order. */
  private lease: DriverLease = { token: 0, validUntilMs: 0, stopAtMs: 0 };
  /** Settles once a guard has its order, or there will be none. */
  private begun: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly node: { clusterId: string; nodeId: string },
    private readonly config: CommandDriverConfig,
    private readonly records: TunnelRecords,
    private readonly clock: SteadyClock,
    private readonly log: Log,
  ) {
    this.stopMs = config.stopTimeoutSeconds * 1_000;
  }

  get failed(): AbortSignal {
    return this.failure.signal;
  }

  async start(assignment: VpnAssignment, lease: DriverLease): Promise<void> {
    const failure = new AbortController();
    this.failure = failure;
    this.lease = lease;
    const guard = this.beginGuard(assignment, lease, failure);
    this.begun = guard.catch(() => undefined);
    try {
      await this.whenUp(await guard);
    } catch (error) {
      failure.abort();
      throw error;
    }
  }

  extend(lease: DriverLease): void {
    this.lease = lease;
    if (this.running?.hasOrder === true) this.tell({ deadline: this.deadline() });
  }

  async stop(): Promise<void> {
    // A guard that is only about to be told to bring the tunnel up would do so unheard.
    await this.begun;
    const { running } = this;
    if (running === null) return;
    this.tell({ stop: true });
    await running.ended;
    // One that was killed has not taken anything down.
    const { exitCode } = running.child;
    if (exitCode !== 0) await takeDown(running.record, (detail) => this.complain(running, detail));
    await this.records.remove(running.record.connectionId);
    this.running = null;
  }

  private async beginGuard(
    assignment: VpnAssignment,
    lease: DriverLease,
    failure: AbortController,
  ): Promise<Running> {
    const { start, stop, startTimeoutSeconds } = this.config;
    const { connectionId } = assignment;
    const env = this.environment(assignment, lease);
    const stopTimeoutMs = this.stopMs;
    const record = { connectionId, stop, env, stopTimeoutMs, guard: null };
    await this.records.write(record); // first: what may be up must be found after a crash
    const child = spawn(process.execPath, [PROGRAM, 'vpn-guard'], {
      detached: true,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    child.stdin?.on('error', () => undefined); // a guard that has ended hears nothing more
    const ended = once(child, 'exit').catch(() => undefined);
    const running: Running = { child, record, ended, hasOrder: false };
    this.running = running;
    const pid = child.pid ?? 0;
    const started = processRow(pid)?.started;
    if (started !== undefined) await this.records.write({ ...record, guard: { pid, started } });
    const deadline = this.deadline();
    this.tell({ start, stop, env, startTimeoutMs: startTimeoutSeconds * 1_000, stopTimeoutMs, deadline });
    running.hasOrder = true;
    void ended.then(() => failure.abort());
    return running;
  }

  /** @throws when the guard says that it failed, or ends without a word */
  private async whenUp(running: Running): Promise<void> {
    const { stdout } = running.child;
    if (stdout === null) throw new Error('the guard has no output');
    const reports = messagesIn<GuardReport>(stdout);
    for (;;) {
      const { done, value } = await reports.next();
      if (done === true) throw new Error('the guard ended before the tunnel was up');
      if ('failed' in value) throw new Error(value.failed);
      if ('up' in value) break;
    }
    void (async () => {
      for await (const report of reports)
        if ('stopFailed' in report) this.complain(running, report.stopFailed);
    })().catch(() => undefined);
  }

  private complain({ record }: Running, detail: string): void {
    this.log.error('vpn.stop_failed', { connectionId: record.connectionId, detail });
  }

  private environment({ connectionId, name, kind, routePolicies }: VpnAssignment, { token }: DriverLease) {
    return {
      ...this.config.env,
      RAP_CLUSTER_ID: this.node.clusterId,
      RAP_NODE_ID: this.node.nodeId,
      RAP_VPN_CONNECTION_ID: connectionId,
      RAP_VPN_NAME: name,
      RAP_VPN_KIND: kind,
      RAP_VPN_FENCING_TOKEN: String(token),
      RAP_VPN_ROUTE_POLICIES: JSON.stringify(routePolicies),
    };
  }

  private deadline(): GuardDeadline {
    return { at: String(process.hrtime.bigint()), leftMs: this.lease.stopAtMs - this.clock.now() };
  }

  private tell(message: GuardOrder | GuardMessage): void {
    const stdin = this.running?.child.stdin;
    if (stdin?.writable === true) stdin.write(`${JSON.stringify(message)}\n`);
  }
}
