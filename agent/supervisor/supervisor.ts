import { join } from 'node:path';
import type { Log } from '../log.js';
import type { Snapshot } from '../snapshot.js';
import type { SnapshotWorkload } from '../snapshot-workload.js';
import { RDP_WORKER, rdpWorkerReport } from './contract-probe.js';
import type { Resolution, ServiceCatalogue } from './service-catalogue.js';
import { runOrder } from './service-definition.js';
import { ServiceFiles } from './service-files.js';
import type { Order, RestOrder } from './service-order.js';
import type { ServiceReport } from './service-report.js';
import { ServiceRunner } from './service-runner.js';
import { wireReport } from './workload-reporter.js';
import { refusalOf } from './workload-rules.js';

/** More than any node runs, and all that the contract lets a heartbeat carry. */
const MAX_REPORTED = 128;
const NOT_WANTED: RestOrder = { kind: 'rest', reportedState: 'stopped', version: null, message: null };

/** What a supervisor works with. */
export interface SupervisorContext {
  /** Where what is kept of each service lies, in a folder of its own. */
  directory: string;
  catalogue: ServiceCatalogue;
  node: { nodeId: string; clusterId: string };
  log: Log;
  /** Called at each change of what is to be reported, with what the service wrote last. */
  onReport: (report: ServiceReport, logTail: string) => void;
}

/**
 * Runs the workloads that the snapshot wants here, each for as long as a role in force allows it. Told of
 * snapshots and of instants by the role keeper; what must stop is asked to stop before `apply` returns.
 */
export class Supervisor {
  private readonly runners = new Map<string, ServiceRunner>();
  private wanted = new Map<string, SnapshotWorkload>();
  /** Grows with each `apply`: what was read of the host for an older one counts for nothing. */
  private round = 0;
  /** Nothing is reported before every workload of a snapshot has been looked at: what is missing counts as gone. */
  private isSettled = false;
  private isClosed = false;
  /** What the last `apply` was told, to be looked at again. */
  private last: { snapshot: Snapshot | null; now: Date } | null = null;
  private settling: Promise<void> = Promise.resolve();
  /** Services that must be at rest whatever the snapshot wants, and why. */
  private readonly holds = new Map<string, string>();
  private readonly watchers = new Set<() => void>();

  constructor(private readonly context: SupervisorContext) {}

  /** Takes on the workloads of `snapshot` as they are at `now`; null: none. */
  apply(snapshot: Snapshot | null, now: Date): void {
    if (this.isClosed) return;
    this.last = { snapshot, now };
    this.round += 1;
    this.wanted = new Map(snapshot?.workloads.map((workload) => [workload.serviceType, workload]));
    for (const [serviceType, runner] of this.runners) {
      const workload = this.wanted.get(serviceType);
      const refusal =
        snapshot === null || workload === undefined ? NOT_WANTED : refusalOf(workload, snapshot, now);
      if (refusal !== null) runner.order({ ...refusal, version: runner.report.version });
    }
    this.settling = this.settle(this.round, snapshot, now);
  }

  /** Lets no process of the service run from now on, until `release`. */
  hold(serviceType: string, why: string): void {
    this.holds.set(serviceType, why);
    this.runners.get(serviceType)?.order(heldOrder(why, this.runners.get(serviceType)));
  }

  /** Resolves once no process of a held service is left. */
  async whenAtRest(serviceType: string): Promise<void> {
    await this.whenSettled();
    await this.runners.get(serviceType)?.whenAtRest();
  }

  /** Looks at the host again, without holding the service; resolves once it has its order. */
  async release(serviceType: string): Promise<void> {
    this.holds.delete(serviceType);
    if (this.last !== null) this.apply(this.last.snapshot, this.last.now);
    await this.whenSettled();
  }

  /** What becomes of the service; null before the first snapshot and for one that is not wanted to run now. */
  look(serviceType: string): ServiceReport | null {
    const runner = this.runners.get(serviceType);
    return runner?.isWanted === true ? runner.report : null;
  }

  /** Calls `watcher` at each change of any service, until the function that it returns is called. */
  watch(watcher: () => void): () => void {
    this.watchers.add(watcher);
    return () => void this.watchers.delete(watcher);
  }

  /** Resolves once what was applied last has been looked at. */
  async whenSettled(): Promise<void> {
    for (let seen: Promise<void> | null = null; seen !== this.settling; ) {
      seen = this.settling;
      await seen;
    }
  }

  /** All that is supervised, for the next heartbeat. */
  report(): Record<string, unknown> {
    if (!this.isSettled) return {};
    const reports = [...this.runners.values()].map((runner) => wireReport(runner.report));
    return { workloads: reports.slice(0, MAX_REPORTED) };
  }

  /** Stops everything, and returns when it has stopped. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.round += 1;
    for (const runner of this.runners.values())
      runner.order({ ...NOT_WANTED, version: runner.report.version });
    await Promise.all([...this.runners.values()].map((runner) => runner.whenAtRest()));
  }

  /** The slower part of `apply`, which looks at what this host has. */
  private async settle(round: number, snapshot: Snapshot | null, now: Date): Promise<void> {
    const resolve = async (workload: SnapshotWorkload): Promise<[SnapshotWorkload, Resolution]> => [
      workload,
      await this.context.catalogue.resolve(workload.serviceType),
    ];
    const resolved = await Promise.all([...this.wanted.values()].map(resolve));
    if (round !== this.round) return;
    for (const [workload, resolution] of resolved) {
      if (snapshot === null) continue;
      const runner = this.runner(workload.serviceType);
      const held = this.holds.get(workload.serviceType);
      const order = orderOf(workload, resolution, snapshot, now);
      runner.order(held === undefined || order.kind === 'rest' ? order : heldOrder(held, runner));
    }
    this.isSettled = true;
    for (const [serviceType, runner] of this.runners) {
      if (!this.wanted.has(serviceType)) void this.forget(serviceType, runner);
    }
  }

  private runner(serviceType: string): ServiceRunner {
    const known = this.runners.get(serviceType);
    if (known !== undefined) return known;
    const { directory, log, node } = this.context;
    const onReport = (report: ServiceReport, logTail: string): void => {
      this.context.onReport(report, logTail);
      for (const watcher of this.watchers) watcher();
    };
    const nodeEnv = { RAP_NODE_ID: node.nodeId, RAP_CLUSTER_ID: node.clusterId };
    const files = new ServiceFiles(join(directory, serviceType));
    const runner = new ServiceRunner(serviceType, files, { log, nodeEnv, onReport });
    this.runners.set(serviceType, runner);
    return runner;
  }

  /** Removes what is kept of a service that is wanted no more, once it has stopped. */
  private async forget(serviceType: string, runner: ServiceRunner): Promise<void> {
    const isOver = (): boolean => runner.isAtRest && !this.wanted.has(serviceType);
    await runner.whenAtRest();
    if (!isOver()) return;
    // Known until then: wanted again meanwhile, the same runner starts it, and only when the old files are gone.
    await runner.forget().catch((error: Error) => {
      this.context.log.warn('workload.not_removed', { serviceType, detail: error.message });
    });
    if (isOver()) this.runners.delete(serviceType);
  }
}

function heldOrder(why: string, runner: ServiceRunner | undefined): RestOrder {
  return { ...NOT_WANTED, message: why, version: runner?.report.version ?? null };
}

/** What a service is to do, by what is wanted, what is allowed, and what this host has. */
function orderOf(workload: SnapshotWorkload, resolution: Resolution, snapshot: Snapshot, now: Date): Order {
  const { serviceType } = workload;
  const version = resolution.kind === 'defined' ? resolution.definition.version : null;
  const rest = (reportedState: RestOrder['reportedState'], message: string): RestOrder => ({
    kind: 'rest',
    reportedState,
    version,
    message,
  });
  const refusal = refusalOf(workload, snapshot, now);
  if (refusal !== null) return { ...refusal, version };
  if ('unreadable' in workload) return rest('unsupported', workload.unreadable);
  if (process.platform !== 'linux')
    return rest('unsupported', 'this agent runs native services on Linux only');
  if (serviceType === RDP_WORKER) return rdpWorkerReport(workload);
  switch (resolution.kind) {
    case 'not_installed':
      return rest('stopped', `no release of ${resolution.product} is installed yet`);
    case 'unknown':
      return rest('unsupported', `this host has no service ${serviceType}`);
    case 'unusable':
      return rest('failed', resolution.reason);
    case 'defined':
      return runOrder(workload, resolution.definition);
  }
}
