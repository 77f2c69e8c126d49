import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from '@jest/globals';
import { v4 as uuid } from 'uuid';
import { HOST_CLOCK, type HostClock } from '../../agent/host-clock.js';
import { Log } from '../../agent/log.js';
import { isRunning, processRow } from '../../agent/process-table.js';
import { RoleKeeper } from '../../agent/role-keeper.js';
import { ServerClock } from '../../agent/server-clock.js';
import type { Snapshot } from '../../agent/snapshot.js';
import type { SnapshotWorkload, Workload } from '../../agent/snapshot-workload.js';
import { ServiceCatalogue } from '../../agent/supervisor/service-catalogue.js';
import type { ServiceReport } from '../../agent/supervisor/service-report.js';
import { Supervisor } from '../../agent/supervisor/supervisor.js';
import { InstalledReleases } from '../../agent/updates/installed-releases.js';

export type Fields = Record<string, unknown>;

/** The host's clocks, of which the test may set the one that anybody can set. */
class SettableHost implements HostClock {
  setBy = 0;
  readonly bootId = HOST_CLOCK.bootId;
  wallMs = (): number => HOST_CLOCK.wallMs() + this.setBy;
  steadyMs = (): number => HOST_CLOCK.steadyMs();
}

/** As much of an agent as runs workloads, on real processes. */
export class SupervisedNode {
  readonly host = new SettableHost();
  readonly clock = new ServerClock(null, this.host);
  readonly reports: (ServiceReport & { logTail: string })[] = [];
  private readonly lines: Fields[] = [];
  private readonly waiting = new Set<() => void>();
  private readonly log = new Log('debug', (line) => {
    this.lines.push(JSON.parse(line) as Fields);
    for (const look of this.waiting) look();
  });
  readonly roles = new RoleKeeper(this.clock, this.log);
  readonly supervisor: Supervisor;

  constructor(readonly directory: string) {
    this.supervisor = new Supervisor({
      directory: this.workloads,
      catalogue: new ServiceCatalogue(this.services, new InstalledReleases(join(this.directory, 'releases'))),
      node: { nodeId: uuid(), clusterId: uuid() },
      log: this.log,
      onReport: (report, logTail) => {
        this.reports.push({ ...report, logTail });
        for (const look of this.waiting) look();
      },
    });
    this.roles.follow((snapshot, now) => this.supervisor.apply(snapshot, now));
  }

  get workloads(): string {
    return join(this.directory, 'workloads');
  }

  get services(): string {
    return join(this.directory, 'services');
  }

  async define(serviceType: string, definition: Fields): Promise<void> {
    await writeFile(join(this.services, `${serviceType}.json`), JSON.stringify(definition), { mode: 0o600 });
  }

  wants(workloads: SnapshotWorkload[], change: Partial<Snapshot> = {}): void {
    const at = (ms: number): string => new Date(this.clock.now().getTime() + ms).toISOString();
    this.roles.apply({
      clusterId: 'c',
      nodeId: 'n',
      generation: 1,
      authorityTerm: 1,
      issuedAt: at(0),
      expiresAt: at(3_600_000),
      degradedGraceSeconds: 0,
      membershipStatus: 'active',
      roles: [role('relay-node'), role('vpn-exit'), role('rdp-worker')],
      workloads,
      mirror: null,
      updateCaches: [],
      snapshotKeys: [],
      vpnAssignments: [],
      updates: [],
      ...change,
    });
  }

  /** Resolves with the first event like this one from the `from`-th on. */
  async seen(event: string, like: Fields = {}, from = 0): Promise<Fields> {
    for (;;) {
      const found = this.events(event)
        .slice(from)
        .find((line) => matches(line, like));
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  events(event: string): Fields[] {
    return this.lines.filter((line) => line.event === event);
  }

  /** Starts, ends and nothing else, in their order. */
  get lives(): string[] {
    const names = ['workload.started', 'workload.ended'];
    return this.lines.filter(({ event }) => names.includes(String(event))).map(({ event }) => String(event));
  }

  /** Resolves with the process of the service once it is there. */
  async starts(serviceType: string): Promise<number> {
    return Number((await this.seen('workload.started', { serviceType })).pid);
  }

  /** The same, once it is reported as running; what it writes may come later. */
  async runs(serviceType: string): Promise<number> {
    await this.seen('workload.changed', { serviceType, reportedState: 'running' });
    return this.starts(serviceType);
  }

  /** Resolves with the log of a report once there is one that fits. */
  async said(text: RegExp): Promise<string> {
    for (;;) {
      const found = this.reports.find(({ logTail }) => text.test(logTail));
      if (found !== undefined) return found.logTail;
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  async close(): Promise<void> {
    this.roles.stop();
    await this.supervisor.close();
  }
}

function matches(line: Fields, like: Fields): boolean {
  return Object.entries(like).every(([name, value]) => JSON.stringify(line[name]) === JSON.stringify(value));
}

export function role(name: string, validUntil: string | null = null): Snapshot['roles'][number] {
  return { role: name, organizationId: null, policy: null, validFrom: null, validUntil };
}

export function workload(change: Partial<Workload> = {}): Workload {
  return {
    serviceType: 'relay-node',
    desiredState: 'running',
    runtime: 'native',
    version: null,
    config: {},
    secretRefs: {},
    healthCheck: null,
    restartPolicy: { mode: 'always', initialDelaySeconds: 0, maxDelaySeconds: 1, resetAfterSeconds: 600 },
    whenControlPlaneLost: 'keep',
    ...change,
  };
}

export const shell = (script: string): string[] => ['/bin/sh', '-c', script];
export const isAlive = (pid: number): boolean => {
  const row = processRow(pid);
  return row !== null && isRunning(row);
};

/** A fresh node for each test of a file, on which `relay-node` and `vpn-exit` are defined. */
export function supervisedNode(): () => SupervisedNode {
  let node: SupervisedNode;
  beforeEach(async () => {
    const directory = await mkdtemp(join(tmpdir(), 'supervisor-'));
    await mkdir(join(directory, 'services'), { mode: 0o700 });
    node = new SupervisedNode(directory);
    await node.define('relay-node', { command: ['/bin/sleep', '600'], version: '1.4.2' });
    await node.define('vpn-exit', { command: ['/bin/sleep', '600'] });
  });
  afterEach(async () => {
    await node.close();
    await rm(node.directory, { recursive: true, force: true });
  });
  return () => node;
}
