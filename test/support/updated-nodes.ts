import { mkdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../agent/atomic-file.js';
import { Jobs } from '../../src/common/jobs/jobs.js';
import type { AgentFleet } from './agent-fleet.js';
import type { AgentProcess } from './agent-process.js';
import type { Answer } from './api.js';
import { created, unique } from './given.js';
import { Publisher } from './publisher.js';
import { OWN_CHECK } from './service-release.js';

// biome-ignore lint/suspicious/noExplicitAny: answers have every shape
type Json = any;

const SERVICE = 'config-storage';
export const RESTART = { mode: 'always', initialDelaySeconds: 0, maxDelaySeconds: 1, resetAfterSeconds: 600 };

/** Nodes report every second, and count as away after hours. */
const PATIENT = { heartbeatSeconds: 1, offlineAfterMissed: 10_000 };

/** One wave of one node, that nobody else decides about. */
export const ALL_AT_ONCE = {
  waves: [{ name: 'all', percent: 100 }],
  maxUnavailable: 100,
  successThresholdPercent: 100,
  failureThresholdPercent: 0,
  progressDeadlineSeconds: 3_600,
  autoRollback: false,
};

/** A real agent with a service that is run from releases. */
export class UpdatedNode {
  private process: AgentProcess | null = null;

  constructor(
    readonly stage: UpdateStage,
    readonly name: string,
    readonly id: string,
  ) {}

  get directory(): string {
    return this.stage.fleet.host.directory(this.name);
  }

  /** Starts the agent, again if need be. */
  run(...args: readonly string[]): AgentProcess {
    this.process = this.stage.fleet.run(this.name, ...args);
    return this.process;
  }

  /** The agent as it was started last. */
  get agent(): AgentProcess {
    if (this.process === null) throw new Error(`${this.name} does not run`);
    return this.process;
  }

  /** Defines the service, with these terms of its updates. */
  async define(terms: Record<string, unknown> = {}): Promise<void> {
    const definition = {
      product: this.stage.publisher.product,
      command: ['bin/service'],
      env: { NOTES: join(this.directory, 'notes') },
      stopTimeoutSeconds: 2,
      execChecks: [OWN_CHECK],
      // What is not well says so by its check; that a good one is slow to come up is the machine's doing.
      update: { settleSeconds: 0, healthSeconds: 600, ...terms },
    };
    // The agent may read it at any moment.
    await writeFileAtomic(join(this.directory, 'services', `${SERVICE}.json`), JSON.stringify(definition));
  }

  /** Pins the keys of the publisher, or others. */
  async pin(
    keys: readonly { publicKey: object }[] = this.stage.publisher.keys,
    more: object = {},
  ): Promise<void> {
    const pin = { threshold: keys.length, keys: keys.map(({ publicKey }) => publicKey), ...more };
    const pins = { products: { [this.stage.publisher.product]: pin } };
    await writeFileAtomic(join(this.directory, 'release-keys.json'), JSON.stringify(pins));
  }

  /** What its migrations were asked to do. */
  async notes(): Promise<string[]> {
    const text = await readFile(join(this.directory, 'notes'), 'utf8').catch(() => '');
    return text.split('\n').filter((line) => line !== '');
  }

  /** Where the agent writes down how far an update has come. */
  get recordFile(): string {
    return join(this.directory, 'updates', `${this.stage.publisher.product}.json`);
  }

  /** What it has written down. */
  async record(): Promise<Json> {
    return JSON.parse(await readFile(this.recordFile, 'utf8').catch(() => '{}'));
  }

  /** Where the way to a version stands on the host's disk; null: it is on no way to it. */
  async wayTo(version: string): Promise<string | null> {
    const { update } = await this.record();
    return update?.to.version === version ? update.state : null;
  }

  /** The version to which `current` leads. */
  async installed(): Promise<string | undefined> {
    const link = join(this.directory, 'releases', this.stage.publisher.product, 'current');
    return /versions\/(.+)_[0-9a-f]{16}$/.exec(await readlink(link).catch(() => ''))?.[1];
  }

  /** The workload, once the control plane sees it so. */
  seen(like: Record<string, unknown>): Promise<Answer['body']> {
    const path = `/clusters/${this.stage.clusterId}/nodes/${this.id}/workloads/${SERVICE}`;
    return this.stage.fleet.until(path, (body) =>
      Object.entries(like).every(([member, value]) => body[member] === value),
    );
  }
}

/** A cluster with a product that its nodes run. */
export class UpdateStage {
  readonly nodes: UpdatedNode[] = [];

  private constructor(
    readonly fleet: AgentFleet,
    readonly clusterId: string,
    readonly publisher: Publisher,
  ) {}

  /** With a product of the service's own, unless another one is given. */
  static async open(fleet: AgentFleet, publisher?: Publisher): Promise<UpdateStage> {
    const { id } = await fleet.cluster();
    // However busy the machine is: a node that is away for a moment would be left for later.
    created(await fleet.plane.api.put(`/clusters/${id}/policy`, PATIENT));
    const own = { serviceType: SERVICE, threshold: 2, keys: 2 };
    return new UpdateStage(fleet, id, publisher ?? (await Publisher.make(fleet.plane.api, own)));
  }

  get path(): string {
    return `/clusters/${this.clusterId}/rollouts`;
  }

  /** Admits a node that wants the service. Its agent is not started.
   *  @param failureThreshold  of its health check: a good one is well with its first check, a bad one has so many */
  async admit(terms: Record<string, unknown> = {}, failureThreshold = 10): Promise<UpdatedNode> {
    const name = unique('updated');
    const nodeId = await this.fleet.admit(name, this.clusterId, {}, '--no-discover');
    const node = new UpdatedNode(this, name, nodeId);
    await mkdir(join(node.directory, 'services'), { mode: 0o700 });
    await node.define(terms);
    await node.pin();
    const { api } = this.fleet.plane;
    created(await api.post(`/clusters/${this.clusterId}/role-assignments`, { nodeId, role: SERVICE }));
    const healthCheck = {
      type: 'exec',
      command: OWN_CHECK,
      intervalSeconds: 1,
      timeoutSeconds: 120,
      failureThreshold,
    };
    created(
      await api.put(`/clusters/${this.clusterId}/nodes/${nodeId}/workloads/${SERVICE}`, {
        ...{ desiredState: 'running', runtime: 'native', restartPolicy: RESTART, healthCheck },
      }),
    );
    this.nodes.push(node);
    return node;
  }

  /** Starts a rollout of this version to every node. */
  async rollOut(targetVersion: string, strategy: Record<string, unknown> = {}): Promise<string> {
    const body = {
      product: this.publisher.product,
      targetVersion,
      strategy: { ...ALL_AT_ONCE, ...strategy },
    };
    const { id } = created(await this.fleet.plane.api.post(this.path, body)) as { id: string };
    created(await this.fleet.plane.api.post(`${this.path}/${id}/start`));
    return id;
  }

  /** The rollout, once it is in one of these states; ticks in the meantime. */
  async reaches(id: string, ...states: readonly string[]): Promise<Json> {
    let rollout: Json;
    await this.ticksUntil(async () => {
      rollout = created(await this.fleet.plane.api.get(`${this.path}/${id}`));
      return states.includes(rollout.state);
    });
    return rollout;
  }

  /** Ticks until it holds. */
  async ticksUntil(holds: () => Promise<boolean>): Promise<void> {
    for (;;) {
      await this.fleet.plane.app.get(Jobs).runNow('rollouts', 'rollout-tick');
      if (await holds()) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Of the cluster, the newest first. */
  async auditEvents(): Promise<Json[]> {
    const events: Json[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const after = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const query = `clusterId=${this.clusterId}&limit=200${after}`;
      const page = created(await this.fleet.plane.api.get(`/audit/events?${query}`)) as Json;
      events.push(...page.items);
      cursor = page.nextCursor;
    }
    return events;
  }

  async assignments(id: string): Promise<Json[]> {
    return (created(await this.fleet.plane.api.get(`${this.path}/${id}/nodes?limit=200`)) as Json).items;
  }

  async decisions(id: string): Promise<Json[]> {
    const page = created(await this.fleet.plane.api.get(`${this.path}/${id}/decisions?limit=200`)) as Json;
    return page.items.reverse();
  }
}
