import { type Answer, type Api } from '../api.js';
import { created, unique } from '../given.js';
import type { Publisher } from '../publisher.js';
import type { Payload } from '../watching-node.js';
import { expectThat } from './broken-invariant.js';
import { dueVersion, type KnownRelease, type TimedWish } from './desired-oracle.js';
import { FLOOR, HOTFIX, NEW, OLD } from './host.js';
import type { HttpFabric } from './http-fabric.js';
import type { HttpNode, ToldOfAssignment } from './http-node.js';
import { LoggedRollout } from './logged-rollout.js';
import type { PinHappens } from './pin-happenings.js';
import { isThere, PinTruth } from './pin-truth.js';
import type { LogRow, PinRow } from './rollout-log.js';
import type { Setup } from './world.js';

/** What may be answered where somebody was faster, or the state of things forbids it. */
const REFUSED = [404, 409, 412];
const TERMS = { successThresholdPercent: 100, minEvidence: 1 };
const OVER = ['succeeded', 'succeeded_with_deferred', 'rolled_back', 'rollback_stalled', 'cancelled'];
type Doing<K extends PinHappens['do']> = Extract<PinHappens, { do: K }>;

/** Whose pins these are. */
export interface PinnedFleet {
  fabric: HttpFabric;
  setup: Setup;
  publisher: Publisher;
  clusterId: string;
  nodes: readonly HttpNode[];
}

/** The pins of a fleet at the real service, and the rollouts that they begin, beside the one that is under way. */
export class HttpPins {
  private readonly logs = new Map<string, LoggedRollout>();
  private readonly emergencyIds: string[] = [];

  private constructor(
    private readonly fleet: PinnedFleet,
    private readonly truth: PinTruth,
    private readonly approver: Api,
  ) {}

  /** Somebody else than their author approves pins; for those from now on the policy asks that of so many. */
  static async open(fleet: PinnedFleet): Promise<HttpPins> {
    const { fabric, setup, publisher, clusterId, nodes } = fleet;
    const [{ api }] = fabric.instances;
    const input = { name: unique('approver'), role: 'platform-operator', highRisk: true };
    const made = await api.post('/api-tokens', { ...input, expiresInSeconds: 86_400 });
    const { token } = created(made) as { token: string };
    const policy = `/clusters/${clusterId}/policy`;
    const before = await api.get(policy);
    const body = { ...(created(before) as object), rolloutApprovals: setup.pinApprovals };
    created(await api.put(policy, body, { 'if-match': before.headers.get('etag') ?? '' }));
    const [row] = await fabric.query<{ id: string }>('SELECT p.id FROM products AS p WHERE p.name = $1', [
      publisher.product,
    ]);
    const platforms = new Map(nodes.map(({ id }, index) => [id, setup.platforms[index] ?? '']));
    return new HttpPins(
      fleet,
      new PinTruth(clusterId, row?.id ?? '', setup, platforms),
      fabric.instances[0].api.as(token),
    );
  }

  get isOver(): boolean {
    return [...this.logs.values()].every(({ state }) => OVER.includes(state));
  }

  /** Those that are not over, as they stand. */
  get open(): string[] {
    return [...this.logs.values()].map(({ state }) => state).filter((state) => !OVER.includes(state));
  }

  /** null: none that a pin has begun. */
  rolloutOf(assignmentId: string): string | null {
    return [...this.logs.values()].find(({ assignments }) => assignments.has(assignmentId))?.id ?? null;
  }

  /** These do something about their updates at once, out of service. */
  out(works: readonly ToldOfAssignment[]): void {
    this.truth.out(works.map(({ assignmentId }) => assignmentId));
  }

  follow(rows: readonly (LogRow | PinRow)[]): void {
    for (const row of rows)
      if (row.kind === 'begun' && row.row.clusterId === this.fleet.clusterId && row.row.kind !== 'staged') {
        const name = row.row.kind === 'pin' ? 'pinned' : 'emergency';
        const failureThresholdPercent = row.row.kind === 'pin' ? 0 : 10;
        const terms = { ...TERMS, failureThresholdPercent, waves: [{ name, dependsOn: [] }] };
        this.logs.set(row.rolloutId, new LoggedRollout(row.rolloutId, terms));
      }
    this.truth.follow(rows);
    for (const log of this.logs.values()) log.follow(rows);
  }

  async happen(happens: PinHappens, at: number): Promise<void> {
    if (happens.do === 'pin') await this.pin(happens, at);
    else if (happens.do === 'unpin') await this.unpin(this.nodeAt(happens.who), at);
    else if (happens.do === 'emergency') await this.pinAll(happens, at);
    else if (happens.do === 'lift') await this.lift(this.emergencyIds.at(-1 - happens.which), at);
    else if (happens.do === 'blockVersion') await this.block(happens.version, at);
    else await this.approve();
  }

  /** Nobody pins nodes any more, but for some of them for good. */
  async relent(): Promise<void> {
    for (const version of this.versions) await this.unblock(version);
    for (const [index, id] of this.emergencyIds.entries()) await this.lift(id, index);
    for (const [index, node] of this.fleet.nodes.entries())
      if (index % 3 !== 0) await this.unpin(node, index);
  }

  /** Nobody at all. */
  async unpinAll(): Promise<void> {
    for (const [index, node] of this.fleet.nodes.entries()) await this.unpin(node, index);
  }

  /** Approves what waits for it, and takes up again what has stopped. */
  async decide(): Promise<void> {
    await this.approve();
    for (const [id, { state }] of this.logs) {
      if (state !== 'paused') continue;
      const path = `${this.path}/rollouts/${id}`;
      const { pausedByDecisionId } = created(await this.api(0).get(path)) as Payload;
      decided(await this.api(1).post(`${path}/resume`, { acknowledge: pausedByDecisionId }));
    }
  }

  /** I16 and the order of the rules: what each node is told, and what is explained of it, against the rules as written. */
  async lookClosely(): Promise<void> {
    const now = await this.now();
    for (const [index, node] of this.fleet.nodes.entries()) {
      if (node.isGone) continue;
      const path = `${this.path}/nodes/${node.id}`;
      const { body } = await this.api(index).get(`${path}/snapshot`);
      const { product } = this.fleet.publisher;
      const explained = created(await this.api(index).get(`${path}/versions/${product}/explain`)) as Payload;
      this.explainedRightly(node, index, explained, now);
      const told = body.updates.find((each: Payload) => each.product === product);
      if (told?.phase !== 'offered') continue;
      const what = `${node.id} is offered ${told.toVersion}`;
      expectThat('I16', !this.truth.isBlocked(told.toVersion), `${what}, which is blocked`);
      // What is explained goes by heartbeats, what is planned by arrivals as well.
      const isKnown = explained.installed === node.host.version;
      if (!isKnown || this.truth.isLeaving(told.assignmentId)) continue;
      expectThat(
        'told',
        told.toVersion === explained.desired.version,
        `${what}, not ${JSON.stringify(explained.desired)}`,
      );
    }
  }

  private explainedRightly(
    node: HttpNode,
    index: number,
    { desired, installed, lastKnownGood }: Payload,
    now: number,
  ): void {
    const held = this.truth.heldTo(node.id, now);
    const what = `${node.id} on ${installed} held to ${held?.version} is explained ${JSON.stringify(desired)}`;
    if (held === null) {
      expectThat('explained', ![2, 3].includes(desired.ruleNumber), what);
      return;
    }
    const wish: TimedWish = { version: held.version, beganAt: now, endedAt: null, expiresAt: null };
    const due = dueVersion(
      {
        ...{ platform: this.fleet.setup.platforms[index] ?? '', agent: installed, installed, lastKnownGood },
        isFenced: desired.rule === 'fenced',
        emergency: held.rule === 2 ? wish : null,
        pin: held.rule === 3 ? wish : null,
        ...{ rollback: null, granted: null, joiner: null, channel: null },
      },
      this.releases(),
      now,
    );
    const isDue =
      desired.version === null ? due.versions.length === 0 : due.versions.includes(desired.version);
    expectThat('explained', isDue && desired.ruleNumber === due.rule, `${what}, not ${JSON.stringify(due)}`);
  }

  private releases(): KnownRelease[] {
    const { hasFloor, downgradePossible } = this.fleet.setup;
    const platforms = [...new Set([...this.fleet.setup.platforms, 'linux/x64'])];
    return this.versions.map((version) => ({
      ...{ version, isApproved: true, isBlocked: this.truth.isBlocked(version) },
      platforms: platforms.filter((platform) => isThere(version, platform)),
      floor: hasFloor === true && version >= NEW ? FLOOR : null,
      minAgent: null,
      canBeUndone: version < NEW || downgradePossible,
    }));
  }

  private get versions(): string[] {
    return this.fleet.setup.hasFloor === true ? [OLD, FLOOR, NEW, HOTFIX] : [OLD, NEW, HOTFIX];
  }

  private get path(): string {
    return `/clusters/${this.fleet.clusterId}`;
  }

  private api(at: number): Api {
    return this.fleet.fabric.at(at).api;
  }

  private nodeAt(who: number): HttpNode {
    return this.fleet.nodes[who % this.fleet.nodes.length] as HttpNode;
  }

  private async now(): Promise<number> {
    const [row] = await this.fleet.fabric.query<{ now: Date }>('SELECT fabric_now() AS now');
    return row?.now.getTime() ?? 0;
  }

  private async pin({ who, version, seconds }: Doing<'pin'>, at: number): Promise<void> {
    const node = this.nodeAt(who);
    if (!this.versions.includes(version)) return;
    const path = this.pinOf(node);
    const known = await this.api(at).get(path);
    const headers: Record<string, string> =
      known.status === 200 ? { 'if-match': known.headers.get('etag') ?? '' } : {};
    const expiresAt = seconds === null ? undefined : new Date((await this.now()) + seconds * 1_000);
    const body = { version, reason: 'A driver needs it.', expiresAt };
    const answer = await this.api(at).put(path, body, headers);
    if (answer.body?.code !== 'node_not_member' || !node.isGone) decided(answer);
  }

  private async unpin(node: HttpNode, at: number): Promise<void> {
    const known = await this.api(at).get(this.pinOf(node));
    if (known.status !== 200) return;
    const headers = { 'if-match': known.headers.get('etag') ?? '' };
    decided(await this.api(at).delete(this.pinOf(node), undefined, headers));
  }

  private pinOf({ id }: HttpNode): string {
    return `${this.path}/nodes/${id}/pins/${this.fleet.publisher.product}`;
  }

  private async pinAll(happens: Doing<'emergency'>, at: number): Promise<void> {
    const { from, nodes: count, version, maxUnavailable, seconds } = happens;
    const { nodes, publisher } = this.fleet;
    const named = Array.from({ length: count ?? nodes.length }, (_, index) => this.nodeAt(from + index));
    const nodeIds = [...new Set(named.filter(({ isGone }) => !isGone).map(({ id }) => id))];
    if (nodeIds.length === 0 || !this.versions.includes(version)) return;
    const scope = count === null ? { all: true } : { nodeIds };
    const expiresAt = (await this.now()) + seconds * 1_000;
    const body = { product: publisher.product, version, scope, maxUnavailable };
    const answer = await this.api(at).post(`${this.path}/emergency-pins`, {
      ...body,
      ...{ reason: 'Sessions are dropped.', expiresAt: new Date(expiresAt) },
    });
    // One of them was let go in that moment.
    if (answer.status === 422 && named.some(({ isGone }) => isGone)) return;
    if (!decided(answer)) return;
    const { id, rolloutId } = answer.body;
    this.emergencyIds.push(id);
    this.truth.add({ id, rolloutId, version, nodeIds: new Set(nodeIds), maxUnavailable, expiresAt });
  }

  private async lift(id: string | undefined, at: number): Promise<void> {
    if (id === undefined) return;
    decided(await this.api(at).post(`${this.path}/emergency-pins/${id}/lift`, { reason: 'It is mended.' }));
  }

  /** By the ways of both kinds. */
  private async approve(): Promise<void> {
    for (const id of this.emergencyIds)
      decided(await this.approver.post(`${this.path}/emergency-pins/${id}/approve`));
    for (const [id, { state }] of this.logs)
      if (state === 'pending_approval')
        decided(await this.approver.post(`${this.path}/rollouts/${id}/approve`));
  }

  private async block(version: string, at: number): Promise<void> {
    if (!this.versions.includes(version)) return;
    const path = this.fleet.publisher.path(version, '/block');
    created(await this.api(at).post(path, { reason: 'Loses data.' }));
  }

  private async unblock(version: string): Promise<void> {
    decided(await this.api(0).post(this.fleet.publisher.path(version, '/unblock')));
  }
}

/** Whether it was done. @throws for what is neither done nor refused by the state of things */
function decided(answer: Answer): boolean {
  if (REFUSED.includes(answer.status)) return false;
  created(answer);
  return true;
}
