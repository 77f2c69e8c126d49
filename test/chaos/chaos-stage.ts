import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findFreePort } from '../../src/common/database/embedded/free-port.js';
import { AgentProcess } from '../support/agent-process.js';
import { type Api, apiClient } from '../support/api.js';
import { created, unique } from '../support/given.js';
import { hasRedis, startRedis, type TestRedis } from '../support/redis.js';
import { buildService, type ServiceProcess, startService } from '../support/service-process.js';
import { ChaosPostgres, canMoveClocks, movedClock } from './chaos-postgres.js';
import type { DriverAct } from './checker/driver-acts.js';
import { HistoryRecorder } from './checker/history.js';
import { LeaseProxy } from './lease-proxy.js';
import type { Random } from './random.js';
import { released, watchdog } from './watchdog.js';

/** How often a driver acts; an act is on its way for most of that time. */
const WORK_MS = 50;

/** How much there is of everything. */
export interface StageSize {
  agents: number;
  connections: number;
  leaseTtlSeconds: number;
}

/** One agent with its network; its process comes and goes. */
export interface StagedAgent {
  name: string;
  directory: string;
  proxy: LeaseProxy;
  process: AgentProcess | null;
}

/** A process that ended although nobody had ended it. */
export interface Crash {
  name: string;
  /** The last that it wrote. */
  output: string;
}

/** A process of the service that comes and goes. */
export interface StagedService {
  name: string;
  env: Record<string, string>;
  process: ServiceProcess | null;
}

/** Everything that takes part: a database, two instances, a worker, agents with a network each, perhaps a Redis. */
export class ChaosStage {
  readonly recorder = new HistoryRecorder();
  readonly agents: StagedAgent[] = [];
  readonly services: StagedService[] = [];
  readonly connectionIds: string[] = [];
  private readonly watchdog;
  redis: TestRedis | null = null;
  clusterId = '';
  /** Processes that have ended by themselves. */
  readonly crashes: Crash[] = [];
  private readonly outputs: (() => string)[] = [];
  private processes = 0;
  private readonly ownerToken = `owner-${randomBytes(24).toString('base64url')}`;
  private apis: readonly string[] = [];
  private isClosing = false;

  /** @param random decides which messages are lost; its numbers depend on how many there are */
  private constructor(
    readonly postgres: ChaosPostgres,
    readonly root: string,
    private readonly random: Random,
  ) {
    this.watchdog = watchdog(root);
  }

  static async open(size: StageSize, random: Random): Promise<ChaosStage> {
    await buildService();
    const root = await mkdtemp(join(tmpdir(), 'fabric-chaos-agents-'));
    const stage = new ChaosStage(await ChaosPostgres.open(), root, random);
    try {
      await stage.set(size);
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  /** The API as the platform owner, on an instance that runs. */
  get api(): Api {
    const running = this.services.filter(({ name, process }) => name !== 'worker' && process !== null);
    return apiClient(running[0]?.process?.url ?? this.apis[0] ?? '', this.ownerToken);
  }

  /** Each operation has a process of its own in the history: one whose answer was lost stays busy for ever. */
  newProcess = (): number => {
    this.processes += 1;
    return this.processes;
  };

  async startService(service: StagedService): Promise<void> {
    if (service.process !== null) return;
    const started = await startService(service.env);
    service.process = started;
    this.outputs.push(started.output);
    void started.ended.then(({ signal }) => this.noteEnd(service.name, signal === 'SIGKILL', started.output));
  }

  /** A moment, for who waits until something is seen. */
  tick(): Promise<void> {
    return sleep(100);
  }

  /** What any process of the service has logged of a request. */
  logOf(requestId: string): string[] {
    return this.outputs.flatMap((output) =>
      output()
        .split('\n')
        .filter((line) => line.includes(requestId)),
    );
  }

  private noteEnd(name: string, isWanted: boolean, output: () => string): void {
    if (!isWanted && !this.isClosing) this.crashes.push({ name, output: output().slice(-2_000) });
  }

  /** @param clockSkewSeconds of the agent's wall clock; needs `canMoveClocks` */
  async startAgent(agent: StagedAgent, clockSkewSeconds = 0): Promise<void> {
    const clock = join(this.root, `${agent.name}.clock`);
    await writeFile(clock, `${clockSkewSeconds >= 0 ? '+' : ''}${clockSkewSeconds}s\n`);
    if (agent.process !== null) return;
    const started = new AgentProcess(
      ['run', '--state-dir', agent.directory],
      canMoveClocks ? movedClock(clock) : {},
    );
    agent.process = started;
    void started.ended.then(({ code, signal }) =>
      this.noteEnd(agent.name, code === 0 || signal !== null, () => started.output),
    );
  }

  /** What all drivers have written, by connection. */
  async acts(): Promise<Map<string, DriverAct[]>> {
    const acts = new Map<string, DriverAct[]>(this.connectionIds.map((id) => [id, []]));
    for (const { name } of this.agents) {
      const text = await readFile(this.actsFile(name), 'utf8').catch(() => '');
      // The last line of an agent that was killed may be half a one.
      for (const line of text.split('\n').filter((each) => each.endsWith('}'))) {
        const act = JSON.parse(line) as DriverAct;
        acts.get(act.connectionId)?.push(act);
      }
    }
    return acts;
  }

  async close(): Promise<void> {
    this.isClosing = true;
    await Promise.all(this.agents.map(({ process }) => process?.end('SIGKILL')));
    await Promise.all(this.services.map(({ process }) => process?.end('SIGKILL')));
    await Promise.all(this.agents.map(({ proxy }) => proxy.close()));
    await this.redis?.kill();
    await this.postgres.close();
    await released(this.watchdog);
  }

  private async set({ agents, connections, leaseTtlSeconds }: StageSize): Promise<void> {
    if (hasRedis) this.redis = await startRedis();
    const ports = [await findFreePort(), await findFreePort()];
    this.apis = ports.map((port) => `http://127.0.0.1:${port}`);
    for (let at = 0; at < agents; at += 1) await this.addAgent(`agent-${at}`);
    this.addServices(ports);
    // The first one makes the tables.
    const [first, ...others] = this.services;
    if (first !== undefined) await this.startService(first);
    await Promise.all(others.map((service) => this.startService(service)));
    await this.makeCluster();
    await this.enrollAll();
    const nodeIds = this.agents.map(({ proxy }) => proxy.nodeId);
    for (let at = 0; at < connections; at += 1) {
      const connection = {
        name: `tunnel-${at}`,
        kind: 'exit',
        desiredState: 'enabled',
        leaseTtlSeconds,
        allowedNodeIds: nodeIds,
      };
      const path = `/clusters/${this.clusterId}/vpn-connections`;
      this.connectionIds.push((created(await this.api.post(path, connection)) as { id: string }).id);
    }
    await Promise.all(this.agents.map((agent) => this.startAgent(agent)));
  }

  private async addAgent(name: string): Promise<void> {
    const directory = join(this.root, name);
    await mkdir(directory, { mode: 0o700 });
    const config = { driver: 'simulated', file: this.actsFile(name), workMs: WORK_MS };
    await writeFile(join(directory, 'vpn-driver.json'), JSON.stringify(config));
    const proxy = await LeaseProxy.open(
      () => this.apis,
      this.recorder,
      this.newProcess,
      () => this.random.next(),
    );
    this.agents.push({ name, directory, proxy, process: null });
  }

  private addServices(ports: readonly number[]): void {
    const [first] = this.apis;
    const common = {
      DATABASE_URL: this.postgres.appUrl,
      FABRIC_DATABASE_OWNER_URL: this.postgres.ownerUrl,
      FABRIC_MASTER_KEY: randomBytes(32).toString('base64url'),
      FABRIC_BOOTSTRAP_TOKEN: this.ownerToken,
      FABRIC_PUBLIC_URL: first ?? '',
      FABRIC_PUBLIC_URL_ALIASES: this.agents.map(({ proxy }) => proxy.url).join(','),
      FABRIC_LIMIT_NODE_PER_MINUTE: '100000',
      FABRIC_LIMIT_PRINCIPAL_PER_MINUTE: '100000',
      LOG_LEVEL: 'error',
      // By which the watchdog knows whose processes they are.
      TMPDIR: this.root,
      ...(this.redis === null ? {} : { REDIS_URL: this.redis.url }),
    };
    const instance = (at: number) => ({ ...common, FABRIC_ROLE: 'api', PORT: String(ports[at]) });
    this.services.push(
      { name: 'api-0', env: instance(0), process: null },
      { name: 'api-1', env: instance(1), process: null },
      { name: 'worker', env: { ...common, FABRIC_ROLE: 'worker' }, process: null },
    );
  }

  private async makeCluster(): Promise<void> {
    const cluster = created(await this.api.post('/clusters', { name: unique('chaos') })) as { id: string };
    this.clusterId = cluster.id;
    created(await this.api.put(`/clusters/${cluster.id}/policy`, { heartbeatSeconds: 2 }));
  }

  private async enrollAll(): Promise<void> {
    const path = `/clusters/${this.clusterId}/join-tokens`;
    const scope = { roles: ['vpn-exit'] };
    const order = { maxUses: this.agents.length, expiresInSeconds: 600, autoApprove: true, scope };
    const { token } = created(await this.api.post(path, order)) as { token: string };
    for (const { name, directory, proxy } of this.agents) {
      const wish = [
        '--no-discover',
        '--capability',
        'can_run_vpn_exit',
        '--role',
        'vpn-exit',
        '--name',
        name,
      ];
      const enroll = new AgentProcess([
        'enroll',
        '--state-dir',
        directory,
        '--url',
        proxy.url,
        '--token',
        token,
        ...wish,
      ]);
      const { nodeId } = await enroll.seen('enrolled');
      await enroll.ended;
      proxy.nodeId = String(nodeId);
    }
  }

  private actsFile(name: string): string {
    return join(this.root, `${name}.acts.jsonl`);
  }
}
