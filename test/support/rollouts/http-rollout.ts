import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import { Jobs } from '../../../src/common/jobs/jobs.js';
import { type Answer, apiClient } from '../api.js';
import { contentFromFacts } from '../content-from-facts.js';
import { created, given } from '../given.js';
import type { Publisher } from '../publisher.js';
import { admittedNode } from '../test-node.js';
import type { Payload } from '../watching-node.js';
import { expectThat } from './broken-invariant.js';
import { NEW } from './host.js';
import type { HttpFabric } from './http-fabric.js';
import { HttpNode, type ToldOfAssignment } from './http-node.js';
import { HttpPins } from './http-pins.js';
import { LoggedRollout } from './logged-rollout.js';
import { publishBoth } from './published-versions.js';
import { updatesFromFacts } from './updates-from-facts.js';
import type { Setup } from './world.js';

const canonicalJson = canonicalize as unknown as (value: unknown) => string;
const DEADLINE_SECONDS = 600;
/** No node is away before it is said to be. */
const POLICY = { heartbeatSeconds: 3_600, rolloutApprovals: 1 };
const TERMINAL = ['succeeded', 'succeeded_with_deferred', 'rolled_back', 'rollback_stalled', 'cancelled'];

/** One rollout at the real service, with nodes that really poll and report, and with the truth about them. */
export class HttpRollout {
  readonly nodes: HttpNode[] = [];
  /** null: nobody pins anything. */
  pins: HttpPins | null = null;
  private readonly offline = new Set<HttpNode>();

  private constructor(
    readonly fabric: HttpFabric,
    private readonly setup: Setup,
    private readonly publisher: Publisher,
    private readonly clusterId: string,
    private logged: LoggedRollout,
  ) {}

  /** Publishes both versions, admits the nodes, and has the rollout planned, approved and started. */
  static async start(fabric: HttpFabric, setup: Setup): Promise<HttpRollout> {
    const [{ api }] = fabric.instances;
    const { publisher, files } = await publishBoth(api, setup);
    const { id } = await given(fabric.instances[0]).cluster();
    created(await api.put(`/clusters/${id}/policy`, POLICY));
    const rollout = new HttpRollout(fabric, setup, publisher, id, new LoggedRollout('', setup));
    await rollout.admit(files);
    await rollout.begin();
    if (setup.pinApprovals !== undefined) rollout.pins = await HttpPins.open(rollout.fleet);
    return rollout;
  }

  get state(): string {
    return this.logged.state;
  }

  get isOver(): boolean {
    return TERMINAL.includes(this.state) && (this.pins?.isOver ?? true);
  }

  /** Those rollouts that are not over. */
  get open(): string {
    return [this.state, ...(this.pins?.open ?? [])].join(', ');
  }

  /** What was committed holds the invariants. Nothing may be under way. */
  async look(): Promise<void> {
    const rows = await this.fabric.log.next();
    this.pins?.follow(rows);
    this.logged.follow(rows);
    if (this.state === 'rolled_back') this.nobodyLeft();
  }

  /** I17: every snapshot holds what the facts say, by the rest of the API. I9: and the waves count each node once. */
  async lookClosely(): Promise<void> {
    if (this.pins !== null) await this.beatAll();
    const { api } = this.fabric.at(1);
    const wanted = await contentFromFacts(api, this.clusterId);
    const updates = await updatesFromFacts(api, this.clusterId, this.publisher);
    for (const { id } of this.nodes.filter(({ isGone }) => !isGone)) {
      const { body } = await api.get(`/clusters/${this.clusterId}/nodes/${id}/snapshot`);
      const { generation: _, issuedAt: __, expiresAt: ___, ...content } = body;
      const facts = updates.get(id);
      const told = content.updates.map((update: Payload) => picked(update, facts ?? update));
      const due = { ...wanted.get(id), updates: facts === undefined ? [] : [facts] };
      const wrong = differences({ ...content, updates: told }, due);
      expectThat('I17', wrong.length === 0, `${id}: ${wrong.join('; ')}`);
    }
    await this.pins?.lookClosely();
    const { waves } = created(await api.get(this.path)) as Payload;
    const forward = this.logged.ways('forward');
    for (const [position, { name, counts }] of waves.entries()) {
      const states = forward.flatMap(({ wave, state }) => (wave === position ? [state] : []));
      const due = canonicalJson(countsOf(states));
      expectThat('I9', canonicalJson(counts) === due, `${name} is ${JSON.stringify(counts)}, not ${due}`);
    }
  }

  /** One run of two workers at once: of all rollouts, where there are several. */
  async tick(): Promise<void> {
    const tick = this.pins === null ? `${this.clusterId}/${this.logged.id}` : undefined;
    await Promise.all(
      this.fabric.instances.map(({ app }) => app.get(Jobs).runNow('rollouts', 'rollout-tick', tick)),
    );
  }

  /** Who is not away has been heard of since. */
  async pass(seconds: number): Promise<void> {
    await this.fabric.pass(seconds);
    const there = this.nodes.filter((node) => !this.offline.has(node)).map(({ id }) => id);
    await this.fabric.query('UPDATE node_liveness SET last_seen_at = fabric_now() WHERE node_id = ANY($1)', [
      there,
    ]);
    if (this.pins !== null || this.setup.hasFloor === true) await this.beatAll();
  }

  /** Nodes are led from where they say that they are. */
  private async beatAll(): Promise<void> {
    const there = this.nodes.filter((node) => !this.offline.has(node) && !node.isGone);
    await Promise.all(there.map((node, at) => node.beat(at)));
  }

  async pause(at: number): Promise<void> {
    decided(await this.post(at, '/pause'));
  }

  async rollback(at: number): Promise<void> {
    decided(await this.post(at, '/rollback'));
  }

  async cancel(at: number): Promise<void> {
    decided(await this.post(at, '/cancel'));
  }

  async resume(acknowledge: boolean, at: number): Promise<void> {
    const { pausedByDecisionId } = created(await this.fabric.at(at).api.get(this.path)) as Payload;
    const isNamed = acknowledge && pausedByDecisionId !== null;
    decided(await this.post(at, '/resume', isNamed ? { acknowledge: pausedByDecisionId } : {}));
  }

  async approve(at: number): Promise<void> {
    const { waves } = created(await this.fabric.at(at).api.get(this.path)) as Payload;
    for (const { name, state } of waves)
      if (state === 'gated') decided(await this.post(at, `/waves/${name}/approve`));
  }

  async block(at: number): Promise<void> {
    created(await this.fabric.at(at).api.post(this.publisher.path(NEW, '/block'), { reason: 'Loses data.' }));
  }

  async unblock(at: number): Promise<void> {
    decided(await this.fabric.at(at).api.post(this.publisher.path(NEW, '/unblock')));
  }

  isOffline(node: HttpNode): boolean {
    return this.offline.has(node);
  }

  async goOffline(node: HttpNode): Promise<void> {
    this.offline.add(node);
    await this.fabric.query(
      `UPDATE node_liveness SET last_seen_at = last_seen_at - interval '30 days' WHERE node_id = $1`,
      [node.id],
    );
  }

  async comeBack(node: HttpNode, at: number): Promise<void> {
    this.offline.delete(node);
    await node.beat(at);
  }

  async decommission(node: HttpNode, at: number): Promise<void> {
    node.isGone = true;
    const path = `/clusters/${this.clusterId}/nodes/${node.id}/revoke`;
    created(await this.fabric.at(at).api.post(path, { reason: 'Sold.' }));
  }

  async writeOff(node: HttpNode, at: number): Promise<void> {
    node.isBeingWrittenOff = true;
    const path = `${this.pathFor(node)}/nodes/${node.id}/write-off`;
    const answer = await this.fabric.at(at).api.post(path, { reason: 'Burnt down.' });
    if (decided(answer)) node.writeOff();
    node.isBeingWrittenOff = false;
  }

  async unfence(node: HttpNode, at: number): Promise<void> {
    if (!node.host.isFenced) return;
    node.host.repair();
    const path = `${this.pathFor(node)}/nodes/${node.id}/unfence`;
    decided(await this.fabric.at(at).api.post(path, { reason: 'Reinstalled.' }));
  }

  private get fleet() {
    const { fabric, setup, publisher, clusterId, nodes } = this;
    return { fabric, setup, publisher, clusterId, nodes };
  }

  private get path(): string {
    return `/clusters/${this.clusterId}/rollouts/${this.logged.id}`;
  }

  /** Of the rollout by which it went out of service last. */
  private pathFor({ disruption }: HttpNode): string {
    const id = disruption === null ? null : this.pins?.rolloutOf(disruption.assignmentId);
    return `/clusters/${this.clusterId}/rollouts/${id ?? this.logged.id}`;
  }

  private post(at: number, path: string, body: unknown = {}): Promise<Answer> {
    return this.fabric.at(at).api.post(`${this.path}${path}`, body);
  }

  private async admit(files: ReadonlyMap<string, ReadonlyMap<string, string>>): Promise<void> {
    const urls = this.fabric.instances.map(({ url }) => url);
    const admitted = this.setup.platforms.map(async (platform) => {
      const [os, arch] = platform.split('/');
      const node = await admittedNode(this.fabric.instances[0], this.clusterId, { facts: { os, arch } });
      const { access_token } = created(await node.requestToken()) as { access_token: string };
      const made = new HttpNode(
        node,
        urls.map((url) => apiClient(url, access_token)),
        this.publisher.product,
        files.get(platform) ?? new Map(),
        () => this.notTooMany(),
      );
      await made.beat(0);
      return made;
    });
    this.nodes.push(...(await Promise.all(admitted)));
  }

  private async begin(): Promise<void> {
    const { setup, fabric } = this;
    const [{ api }] = fabric.instances;
    const body = {
      product: this.publisher.product,
      targetVersion: NEW,
      strategy: {
        waves: setup.waves.map(({ share, ...wave }) => ({ ...wave, percent: percentOf(share) })),
        maxUnavailable: setup.maxUnavailable,
        successThresholdPercent: setup.successThresholdPercent,
        failureThresholdPercent: setup.failureThresholdPercent,
        minEvidence: setup.minEvidence,
        autoRollback: setup.autoRollback,
        progressDeadlineSeconds: 2 * DEADLINE_SECONDS,
        nodeDeadlineSeconds: DEADLINE_SECONDS,
      },
    };
    const rollouts = `/clusters/${this.clusterId}/rollouts`;
    const plan = created(await api.post(`${rollouts}/plan`, body)) as Payload;
    const planned = plan.waves.flatMap(({ nodes }: Payload) => nodes.map(({ nodeId }: Payload) => nodeId));
    expectThat('I5', new Set(planned).size === planned.length, 'a node is in several waves');
    const draft = created(await api.post(rollouts, body)) as Payload;
    this.logged = new LoggedRollout(draft.id, setup);
    this.planStands(plan, draft);
    created(await this.post(0, '/submit'));
    const approved = created(await fabric.approver.post(`${this.path}/approve`)) as Payload;
    expectThat('I15', approved.planHash === plan.planHash, 'another plan was approved');
    created(await this.post(1, '/start'));
  }

  /** I15: what is approved is the digest of what was planned, and of how it is to run. */
  private planStands({ waves, skipped, planHash }: Payload, draft: Payload): void {
    const { product, targetVersion, strategy } = draft;
    const named = waves.map(({ name, nodes }: Payload) => ({
      name,
      nodes: nodes.map(({ nodeId, fromVersion, nextVersion }: Payload) => [nodeId, fromVersion, nextVersion]),
    }));
    const json = canonicalJson({ terms: { product, targetVersion, strategy }, waves: named, skipped });
    const digest = createHash('sha256').update(json).digest('base64url');
    expectThat('I15', draft.planHash === planHash && planHash === digest, `${draft.planHash}, not ${digest}`);
  }

  /** I1, at the moment at which one more is out of service. */
  private notTooMany(): void {
    const out = this.nodes.filter(({ isDisrupted }) => isDisrupted);
    const works = out.flatMap(({ disruption }) => (disruption === null ? [] : [disruption]));
    // Beside the rollouts of pins it depends on who was let go when, which the log says.
    if (this.pins !== null) this.pins.out(works);
    else expectThat('I1', out.length <= this.setup.maxUnavailable, `${out.length} nodes are out of service`);
  }

  private hasLed(work: ToldOfAssignment | null): boolean {
    return work !== null && this.logged.assignments.has(work.assignmentId);
  }

  private nobodyLeft(): void {
    const excused = this.logged
      .ways('forward')
      .filter(({ state, isWrittenOff }) => state === 'fenced' || isWrittenOff)
      .map(({ nodeId }) => nodeId);
    const left = this.nodes.filter(
      ({ id, isGone, host }) =>
        host.version === NEW && this.hasLed(host.arrivedBy) && !isGone && !excused.includes(id),
    );
    expectThat('I10', left.length === 0, `${left.map(({ id }) => id).join(', ')} kept the bad version`);
  }
}

/** Whether it was done; refused is what its state does not allow. @throws for any other answer */
function decided(answer: Answer): boolean {
  if (answer.status === 409) return false;
  created(answer);
  return true;
}

function percentOf(share: Setup['waves'][number]['share']): number {
  return share.kind === 'percent' ? share.percent : 100;
}

/** Of an update what the facts speak of. */
function picked(update: Payload, facts: Payload): Payload {
  return Object.fromEntries(Object.keys(facts).map((key) => [key, update[key]]));
}

function countsOf(states: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const state of states) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

/** Members of either that are not alike. */
function differences(is: Payload, ought: Payload): string[] {
  return Object.keys({ ...is, ...ought })
    .filter((key) => canonicalJson(is[key] ?? null) !== canonicalJson(ought[key] ?? null))
    .map((key) => {
      const [[one], [other]] = [[is[key]].flat(), [ought[key]].flat()];
      const isNested = typeof one === 'object' && typeof other === 'object' && one !== null && other !== null;
      return isNested
        ? `${key}: ${differences(one, other)}`
        : `${key} is ${JSON.stringify(is[key])}, not ${JSON.stringify(ought[key])}`;
    });
}
