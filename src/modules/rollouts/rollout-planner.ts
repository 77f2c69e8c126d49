import { createHash } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { invalid } from '../../common/errors/domain-error.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { inTurns } from '../../common/waiting/long-work.js';
import { MembershipsReadModel, type UpdateMember } from '../nodes/memberships.read-model.js';
import { NodeSelections } from '../nodes/node-selections.js';
import type { NodeSelector } from '../nodes/node-selector.js';
import { type KnownProduct, ReleasesReadModel } from '../releases/releases.read-model.js';
import type { ReleaseFacts, UpdateSubject } from '../releases/version-rules.js';
import { WorkloadsReadModel } from '../workloads/workloads.read-model.js';
import { AssignmentsRepository } from './assignments.repository.js';
import { type Candidate, planning, planRollout, type RolloutPlan } from './engine/plan.js';
import { planDigest } from './engine/plan-hash.js';
import { ROLLOUT_RULES, type Rules } from './engine/rules.js';
import { withDependencies } from './engine/wave-graph.js';
import type { WaveShare } from './engine/wave-shares.js';
import { NodeVersionsRepository } from './node-versions.repository.js';
import { ReleaseVersions } from './release-versions.js';
import type { Rollout, RolloutKind, Strategy, WaveTerms } from './rollout.js';
import { RolloutsRepository } from './rollouts.repository.js';
import type { CreateRollout } from './rollouts.schema.js';
import { VersionPinsRepository } from './version-pins.repository.js';

/** Nodes of a cluster that one rollout takes. */
const MAX_NODES = 200_000;

/** A rollout as it would be, with everything that it is made of. */
export interface PreparedRollout {
  product: KnownProduct;
  release: ReleaseFacts;
  versions: ReleaseVersions;
  selector: NodeSelector;
  strategy: Strategy;
  salt: string;
  plan: RolloutPlan;
  planHash: string;
  downgradePossible: boolean;
  platforms: ReadonlyMap<string, Pick<UpdateMember, 'os' | 'arch'>>;
}

/** What candidates are looked at for. */
interface CandidateTerms {
  targetVersion: string;
  /** Pins keep nodes out of staged rollouts alone. */
  kind: RolloutKind;
  /** A report of arrival says as much as a heartbeat, where it is the later of the two. */
  countsArrivals: boolean;
  /** A rollout whose own ways say nothing against it. */
  rolloutId?: string | null;
  /** What they run, where that is known already. */
  installed?: ReadonlyMap<string, string | null>;
}

/** Says who would be updated when, from what is true now. */
@Injectable()
export class RolloutPlanner {
  constructor(
    private readonly releases: ReleasesReadModel,
    private readonly selections: NodeSelections,
    private readonly members: MembershipsReadModel,
    private readonly workloads: WorkloadsReadModel,
    private readonly versions: NodeVersionsRepository,
    private readonly rollouts: RolloutsRepository,
    private readonly assignments: AssignmentsRepository,
    private readonly pins: VersionPinsRepository,
    @Inject(ROLLOUT_RULES) private readonly rules: Rules,
  ) {}

  /** @throws invalid `invalid_request` for a product, version or channel that is not there; `group_not_found`,
   *  `selection_too_large` */
  async prepare(
    tx: ReadTx,
    clusterId: string,
    input: CreateRollout,
    kind: RolloutKind = 'staged',
  ): Promise<PreparedRollout> {
    const product = await this.releases.product(tx, input.product);
    if (product === null) throw unknownMember('product', 'There is no such product.');
    const versions = new ReleaseVersions(await this.releases.releasesOf(tx, product.id));
    const release = await this.target(tx, clusterId, product, versions, input);
    const strategy = strategyOf(input.strategy);
    const members = await this.membersFor(tx, clusterId, input.selector);
    const candidates = await this.candidates(tx, clusterId, product, members, {
      targetVersion: release.version,
      kind,
      countsArrivals: kind !== 'staged',
    });
    const salt = await this.salt(tx, clusterId, product, release);
    const subjects = new Map(members.map((member) => [member.nodeId, member]));
    const planned = {
      targetVersion: release.version,
      salt,
      candidates,
      waves: await this.shares(tx, clusterId, strategy.waves),
      versionsFor: ({ nodeId }: Candidate) => versions.for(subjects.get(nodeId) ?? NOBODY),
    };
    const plan = await inTurns(planning(planned, this.rules));
    const terms = { product: product.name, targetVersion: release.version, strategy };
    return {
      product,
      release,
      versions,
      selector: input.selector,
      strategy,
      salt,
      plan,
      planHash: await planDigest(terms, plan),
      downgradePossible: canComeBack(plan, release.version, versions, subjects),
      platforms: subjects,
    };
  }

  /** Nodes of a rollout from where they are now; in its first wave. @param installed what they run, by node id */
  async again(
    tx: ReadTx,
    { id, clusterId, product: name, targetVersion, kind }: Rollout,
    installed: ReadonlyMap<string, string | null>,
  ): Promise<Pick<PreparedRollout, 'plan' | 'versions' | 'platforms' | 'downgradePossible'>> {
    const product = await this.releases.product(tx, name);
    if (product === null) throw new Error('the product of a rollout is gone');
    const versions = new ReleaseVersions(await this.releases.releasesOf(tx, product.id));
    const members = await this.members.updateSubjects(tx, clusterId, [...installed.keys()]);
    const terms = { targetVersion, kind, countsArrivals: false, rolloutId: id, installed };
    const candidates = await this.candidates(tx, clusterId, product, members, terms);
    const platforms = new Map(members.map((member) => [member.nodeId, member]));
    const waves = [{ name: 'again', share: { kind: 'percent', percent: 100 } as const }];
    const versionsFor = ({ nodeId }: Candidate) => versions.for(platforms.get(nodeId) ?? NOBODY);
    const plan = planRollout({ targetVersion, salt: id, candidates, waves, versionsFor }, this.rules);
    const downgradePossible = canComeBack(plan, targetVersion, versions, platforms);
    return { plan, versions, platforms, downgradePossible };
  }

  private async target(
    tx: ReadTx,
    clusterId: string,
    product: KnownProduct,
    versions: ReleaseVersions,
    { targetVersion, channel }: CreateRollout,
  ): Promise<ReleaseFacts> {
    if (targetVersion !== undefined) {
      const release = versions.find(targetVersion);
      if (release === null) throw unknownMember('targetVersion', 'The product has no such release.');
      return release;
    }
    const pointers = await this.releases.channels(tx, clusterId);
    const pointer = pointers.find((each) => each.productId === product.id && each.channel === channel);
    const releases = await this.releases.releasesOf(tx, product.id);
    const release = releases.find(({ releaseId }) => releaseId === pointer?.releaseId);
    if (release === undefined) throw unknownMember('channel', 'The channel points nowhere in this cluster.');
    return release;
  }

  private async membersFor(tx: ReadTx, clusterId: string, selector: NodeSelector): Promise<UpdateMember[]> {
    const nodeIds = await this.selections.select(tx, clusterId, selector, {
      limit: MAX_NODES,
      member: 'selector',
    });
    return this.members.updateSubjects(tx, clusterId, nodeIds);
  }

  private async candidates(
    tx: ReadTx,
    clusterId: string,
    { id, serviceType }: KnownProduct,
    members: readonly UpdateMember[],
    { targetVersion, kind, countsArrivals, rolloutId = null, installed }: CandidateTerms,
  ): Promise<Candidate[]> {
    const running = serviceType === null ? null : await this.workloads.versions(tx, clusterId, serviceType);
    const isStaged = kind === 'staged';
    const pins = isStaged ? await this.pins.inForce(tx, clusterId, id) : new Map<string, string>();
    const led = isStaged ? await this.pins.led(tx, clusterId, id) : new Set<string>();
    const ids = members.map(({ nodeId }) => nodeId);
    const known = await (rolloutId === null
      ? this.versions.ofProduct(tx, clusterId, id)
      : this.versions.ofNodes(tx, clusterId, id, ids));
    const arrived = countsArrivals ? await this.assignments.arrivals(tx, clusterId, id, ids) : NO_ARRIVALS;
    const busy = isStaged
      ? new Set<string>()
      : await this.assignments.underWay(tx, clusterId, id, ids, rolloutId);
    const said = ({ nodeId, agentVersion, lastSeenAt }: UpdateMember): string | null => {
      const arrival = arrived.get(nodeId);
      if (arrival !== undefined && (lastSeenAt === null || arrival.at >= lastSeenAt)) return arrival.version;
      return running === null ? agentVersion : (running.get(nodeId) ?? null);
    };
    return members.map((member) => {
      const { nodeId, os, arch } = member;
      const version = known.get(nodeId);
      return {
        nodeId,
        platform: `${os}/${arch}`,
        installed: installed?.get(nodeId) ?? said(member),
        lastKnownGood: version?.lastKnownGood ?? null,
        obstacle: obstacleOf(member, {
          isFenced: version?.isFenced ?? false,
          // Also to the same version: what leads it there is the rollout of its pin.
          isPinned: led.has(nodeId) || (pins.get(nodeId) ?? targetVersion) !== targetVersion,
          runsProduct: running === null || running.has(nodeId),
          isBusy: busy.has(nodeId),
        }),
      };
    });
  }

  /** Another one for every rollout of a cluster, and the same for a plan and for the rollout that is made of it. */
  private async salt(
    tx: ReadTx,
    clusterId: string,
    { id }: KnownProduct,
    { releaseId }: ReleaseFacts,
  ): Promise<string> {
    const ordinal = await this.rollouts.count(tx, clusterId, id);
    return createHash('sha256').update(`${clusterId} ${id} ${releaseId} ${ordinal}`).digest('base64url');
  }

  private async shares(
    tx: ReadTx,
    clusterId: string,
    waves: readonly WaveTerms[],
  ): Promise<{ name: string; share: WaveShare }[]> {
    const shares: { name: string; share: WaveShare }[] = [];
    for (const { name, percent, count, selector } of waves) {
      if (percent !== undefined) shares.push({ name, share: { kind: 'percent', percent } });
      else if (count !== undefined) shares.push({ name, share: { kind: 'count', count } });
      else {
        const limits = { limit: MAX_NODES, member: 'strategy' };
        const nodeIds = await this.selections.select(tx, clusterId, selector ?? {}, limits);
        shares.push({ name, share: { kind: 'selected', nodeIds: new Set(nodeIds) } });
      }
    }
    return shares;
  }
}

const NO_ARRIVALS: ReadonlyMap<string, { version: string; at: Date }> = new Map();
const NOBODY = { os: '', arch: '', agentVersion: null };

function obstacleOf(
  { membershipStatus }: UpdateMember,
  {
    isFenced,
    isPinned,
    runsProduct,
    isBusy,
  }: { isFenced: boolean; isPinned: boolean; runsProduct: boolean; isBusy: boolean },
): Candidate['obstacle'] {
  if (membershipStatus === 'disabled') return 'membership_disabled';
  if (isFenced) return 'fenced';
  if (isPinned) return 'pinned';
  // Where it comes to nobody knows before it has.
  if (isBusy) return 'update_in_progress';
  return runsProduct ? null : 'not_running_product';
}

function strategyOf({ startAt, nodeDeadlineSeconds, waves, ...rest }: CreateRollout['strategy']): Strategy {
  return {
    ...rest,
    waves: withDependencies(waves),
    nodeDeadlineSeconds: nodeDeadlineSeconds ?? rest.progressDeadlineSeconds,
    startAt: startAt === undefined ? null : new Date(startAt).toISOString(),
  };
}

/** Whether every migration can be undone of all versions that nodes come to on their ways. */
function canComeBack(
  { waves }: RolloutPlan,
  targetVersion: string,
  versions: ReleaseVersions,
  subjects: ReadonlyMap<string, UpdateMember>,
): boolean {
  const kinds = new Map<string, UpdateSubject>();
  for (const { nodes } of waves)
    for (const { nodeId, fromVersion } of nodes) {
      const { os, arch, agentVersion } = subjects.get(nodeId) ?? NOBODY;
      const kind = `${os} ${arch} ${agentVersion} ${fromVersion}`;
      if (!kinds.has(kind)) kinds.set(kind, { os, arch, agentVersion, fromVersion });
    }
  const ways = [...kinds.values()].flatMap((subject) => versions.wayOf(subject, targetVersion));
  return versions.canUndo(new Set([targetVersion, ...ways]));
}

function unknownMember(member: string, message: string) {
  return invalid('invalid_request', message, { errors: [{ pointer: `#/${member}`, message }] });
}
