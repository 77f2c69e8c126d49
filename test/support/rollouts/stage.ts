import { Jobs } from '../../../src/common/jobs/jobs.js';
import type { Answer, Api } from '../api.js';
import type { ControlPlane } from '../control-plane.js';
import { created, given } from '../given.js';
import { Publisher } from '../publisher.js';
import { admittedNode, type TestNode } from '../test-node.js';

// biome-ignore lint/suspicious/noExplicitAny: answers have every shape
type Json = any;

/** What a node's snapshot tells it of an update. */
export interface ToldUpdate {
  assignmentId: string;
  fromVersion: string | null;
  toVersion: string;
  epoch: number;
  phase: 'offered' | 'granted';
  artifact: { os: string; arch: string; sha256: string; size: number; path: string };
}

const PREPARING = ['checking', 'downloading', 'verifying', 'staging'];
const CHANGING = ['starting', 'health_checking', 'promoting', 'running'];

/** A node as its agent would update it. */
export class UpdatingNode {
  private readonly sequences = new Map<string, number>();
  private readonly staged = new Set<string>();

  private constructor(
    readonly node: TestNode,
    readonly api: Api,
    private version: string,
  ) {}

  static async admit(
    plane: ControlPlane,
    clusterId: string,
    version: string,
    facts = {},
    capabilities?: string[],
  ): Promise<UpdatingNode> {
    const able = capabilities === undefined ? {} : { capabilities };
    const node = await admittedNode(plane, clusterId, { facts, ...able });
    const updating = new UpdatingNode(node, await node.api(), version);
    await updating.beat();
    return updating;
  }

  get id(): string {
    return this.node.nodeId;
  }

  get installed(): string {
    return this.version;
  }

  /** Says which version it runs. */
  async beat(): Promise<void> {
    created(
      await this.api.post('/node-agents/me/heartbeat', this.node.heartbeat({ agentVersion: this.version })),
    );
  }

  /** Somebody has put another version on it, by no rollout. */
  async reinstall(version: string): Promise<void> {
    this.version = version;
    await this.beat();
  }

  /** Its disk has been put into another machine. */
  async becomes(facts: { os: string; arch: string }): Promise<void> {
    created(await this.api.put('/node-agents/me/capabilities', { capabilities: [], facts }));
  }

  async told(): Promise<ToldUpdate | null> {
    const { jws } = created(await this.api.get('/node-agents/me/snapshot')) as { jws: string };
    const payload = JSON.parse(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString()) as Json;
    return payload.updates[0] ?? null;
  }

  /** Reports a state with the next sequence, or what the test wants instead. */
  report(update: ToldUpdate, state: string, more: Record<string, unknown> = {}): Promise<Answer> {
    const sequence = (this.sequences.get(update.assignmentId) ?? 0) + 1;
    this.sequences.set(update.assignmentId, sequence);
    const body = { state, attempt: 1, epoch: update.epoch, sequence, ...more };
    return this.api.post(`/node-agents/me/updates/${update.assignmentId}/state`, body);
  }

  /** Downloads, verifies and stages, unless it has. Says whether it may go on. */
  async prepare(update: ToldUpdate): Promise<boolean> {
    const key = `${update.assignmentId} ${update.toVersion}`;
    const states = this.staged.has(key) ? ['staging'] : PREPARING;
    let answer: Answer | undefined;
    for (const state of states) {
      answer = await this.report(update, state);
      // It was taken back in the meantime.
      if (answer.status === 422) return false;
      created(answer);
    }
    this.staged.add(key);
    return answer?.body.phase === 'granted';
  }

  /** Goes out of service and comes back with the new version. */
  async change(update: ToldUpdate): Promise<void> {
    for (const state of CHANGING) created(await this.report(update, state));
    this.version = update.toVersion;
    await this.beat();
  }

  /** Goes out of service, finds the version bad and comes back with the old one. */
  async failAtHealth(update: ToldUpdate): Promise<void> {
    const states = ['starting', 'health_checking', 'rollback_required', 'rolling_back', 'rolled_back'];
    for (const state of states) created(await this.report(update, state));
  }
}

/** A cluster whose agents are updated. */
export class RolloutStage {
  private constructor(
    readonly plane: ControlPlane,
    readonly clusterId: string,
    readonly publisher: Publisher,
    readonly nodes: readonly UpdatingNode[],
  ) {}

  /** With nodes on version 1.0.0, and 2.0.0 released. */
  static async open(plane: ControlPlane, nodes = 0, capabilities?: string[]): Promise<RolloutStage> {
    const publisher = await Publisher.make(plane.api, { kind: 'node-agent' });
    for (const version of ['1.0.0', '2.0.0']) await publisher.release(version);
    const { id } = await given(plane).cluster();
    const admitted: UpdatingNode[] = [];
    for (let index = 0; index < nodes; index++)
      admitted.push(await UpdatingNode.admit(plane, id, '1.0.0', {}, capabilities));
    return new RolloutStage(plane, id, publisher, admitted);
  }

  get path(): string {
    return `/clusters/${this.clusterId}/rollouts`;
  }

  /** The body of a rollout in one wave, unless the input says otherwise. */
  body(strategy: Record<string, unknown> = {}, more: Record<string, unknown> = {}): Record<string, unknown> {
    return {
      product: this.publisher.product,
      targetVersion: '2.0.0',
      strategy: {
        waves: [{ name: 'all', percent: 100 }],
        maxUnavailable: 1,
        successThresholdPercent: 100,
        failureThresholdPercent: 0,
        progressDeadlineSeconds: 3_600,
        autoRollback: false,
        ...strategy,
      },
      ...more,
    };
  }

  async draft(strategy: Record<string, unknown> = {}, more: Record<string, unknown> = {}): Promise<string> {
    return (created(await this.plane.api.post(this.path, this.body(strategy, more))) as { id: string }).id;
  }

  async started(strategy: Record<string, unknown> = {}, more: Record<string, unknown> = {}): Promise<string> {
    const id = await this.draft(strategy, more);
    created(await this.plane.api.post(`${this.path}/${id}/start`));
    return id;
  }

  async rollout(id: string): Promise<Json> {
    return created(await this.plane.api.get(`${this.path}/${id}`));
  }

  async decisions(id: string): Promise<Json[]> {
    const page = created(await this.plane.api.get(`${this.path}/${id}/decisions?limit=200`)) as {
      items: Json[];
    };
    return page.items.reverse();
  }

  act(id: string, verb: string, body: unknown = {}): Promise<Answer> {
    return this.plane.api.post(`${this.path}/${id}/${verb}`, body);
  }

  tick(): Promise<void> {
    return this.plane.app.get(Jobs).runNow('rollouts', 'rollout-tick');
  }

  /** Puts the time by which everything is decided so many seconds ahead; it stands still from then on. */
  async advance(seconds: number): Promise<void> {
    await this.plane.database.query(
      'UPDATE database_clock SET recorded_at = fabric_now() + make_interval(secs => $1)',
      [seconds],
    );
  }

  /** Makes a node one that has not been heard of for long. */
  async silence(node: UpdatingNode): Promise<void> {
    await this.plane.database.query(
      `UPDATE node_liveness SET last_seen_at = last_seen_at - interval '1 hour' WHERE node_id = $1`,
      [node.id],
    );
  }

  /** Lets every node do all that it is told to, until the rollout waits for nobody. */
  async run(fails: (node: UpdatingNode, update: ToldUpdate) => boolean = () => false): Promise<void> {
    for (let round = 0; round < 20; round++) {
      await this.tick();
      let hasMoved = false;
      for (const node of this.nodes) {
        const update = await node.told();
        if (update === null || (update.phase === 'offered' && !(await node.prepare(update)))) continue;
        hasMoved = true;
        await (fails(node, update) ? node.failAtHealth(update) : node.change(update));
      }
      if (!hasMoved) return;
    }
    throw new Error('the nodes never come to rest');
  }
}
