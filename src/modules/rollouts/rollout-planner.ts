import { createHash } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { invalid } from '../../common/errors/domain-error.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { MembershipsReadModel, type UpdateMember } from '../nodes/memberships.read-model.js';
import { NodeSelections } from '../nodes/node-selections.js';
import type { NodeSelector } from '../nodes/node-selector.js';
import { type KnownProduct, ReleasesReadModel } from '../releases/releases.read-model.js';
import type { ReleaseFacts } from '../releases/version-rules.js';
import { WorkloadsReadModel } from '../workloads/workloads.read-model.js';
import { type Candidate, planRollout, type RolloutPlan } from './engine/plan.js';
import { planDigest } from './engine/plan-hash.js';
import { ROLLOUT_RULES, type Rules } from './engine/rules.js';
import { withDependencies } from './engine/wave-graph.js';
import type { WaveShare } from './engine/wave-shares.js';
import { NodeVersionsRepository } from './node-versions.repository.js';
import { ReleaseVersions } from './release-versions.js';
import type { Strategy, WaveTerms } from './rollout.js';
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
    private readonly pins: VersionPinsRepository,
    @Inject(ROLLOUT_RULES) private readonly rules: Rules,
  ) {}

  /** @throws invalid `invalid_request` for a product, version or channel that is not there; `group_not_found`,
   *  `selection_too_large` */
  async prepare(tx: ReadTx, clusterId: string, input: CreateRollout): Promise<PreparedRollout> {
    const product = await this.releases.product(tx, input.product);
    if (product === null) throw unknownMember('product', 'There is no such product.');
    const versions = new ReleaseVersions(await this.releases.releasesOf(tx, product.id));
    const release = await this.target(tx, clusterId, product, versions, input);
    const strategy = strategyOf(input.strategy);
    const members = await this.membersFor(tx, clusterId, input.selector);
    const candidates = await this.candidates(tx, clusterId, product, members, release.version);
    const salt = await this.salt(tx, clusterId, product, release);
    const subjects = new Map(members.map((member) => [member.nodeId, member]));
    const plan = planRollout(
      {
        targetVersion: release.version,
        salt,
        candidates,
        waves: await this.shares(tx, clusterId, strategy.waves),
        versionsFor: ({ nodeId }) => versions.for(subjects.get(nodeId) ?? NOBODY),
      },
      this.rules,
    );
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
      downgradePossible: versions.canUndo(versionsOnTheWay(plan, release.version)),
      platforms: subjects,
    };
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
    targetVersion: string,
  ): Promise<Candidate[]> {
    const running = serviceType === null ? null : await this.workloads.versions(tx, clusterId, serviceType);
    const known = await this.versions.ofProduct(tx, clusterId, id);
    const pins = await this.pins.inForce(tx, clusterId, id);
    const led = await this.pins.led(tx, clusterId, id);
    return members.map((member) => {
      const { nodeId, os, arch, agentVersion } = member;
      const version = known.get(nodeId);
      return {
        nodeId,
        platform: `${os}/${arch}`,
        installed: running === null ? agentVersion : (running.get(nodeId) ?? null),
        lastKnownGood: version?.lastKnownGood ?? null,
        obstacle: obstacleOf(member, {
          isFenced: version?.isFenced ?? false,
          // Also to the same version: what leads it there is the rollout of its pin.
          isPinned: led.has(nodeId) || (pins.get(nodeId) ?? targetVersion) !== targetVersion,
          runsProduct: running === null || running.has(nodeId),
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

const NOBODY = { os: '', arch: '', agentVersion: null };

function obstacleOf(
  { membershipStatus }: UpdateMember,
  { isFenced, isPinned, runsProduct }: { isFenced: boolean; isPinned: boolean; runsProduct: boolean },
): Candidate['obstacle'] {
  if (membershipStatus === 'disabled') return 'membership_disabled';
  if (isFenced) return 'fenced';
  if (isPinned) return 'pinned';
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

function versionsOnTheWay({ waves }: RolloutPlan, target: string): Set<string> {
  return new Set([target, ...waves.flatMap(({ nodes }) => nodes.map(({ nextVersion }) => nextVersion))]);
}

function unknownMember(member: string, message: string) {
  return invalid('invalid_request', message, { errors: [{ pointer: `#/${member}`, message }] });
}
