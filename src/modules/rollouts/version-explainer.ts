import { Injectable } from '@nestjs/common';
import { notFound } from '../../common/errors/domain-error.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { MembershipsReadModel, type UpdateMember } from '../nodes/memberships.read-model.js';
import { type KnownProduct, ReleasesReadModel } from '../releases/releases.read-model.js';
import { WorkloadsReadModel } from '../workloads/workloads.read-model.js';
import { type Assignment, phaseOf } from './assignment.js';
import { AssignmentsRepository } from './assignments.repository.js';
import type { EmergencyPin } from './emergency-pin.js';
import { EmergencyPinsRepository } from './emergency-pins.repository.js';
import { type DesiredVersion, desiredVersion, type VersionSources } from './engine/desired-version.js';
import { isUnfinished } from './engine/rollout-state.js';
import { NodeVersionsRepository } from './node-versions.repository.js';
import { ReleaseVersions } from './release-versions.js';
import type { Rollout } from './rollout.js';
import { RolloutsRepository } from './rollouts.repository.js';
import { whyNot } from './version-obstacles.js';
import { isInForce } from './version-pin.js';
import { VersionPinsRepository } from './version-pins.repository.js';
import type { VersionExplanation } from './version-pins.schema.js';
import { WavesRepository } from './waves.repository.js';

/** The node's part in the last rollout that has it. */
interface Part {
  rollout: Rollout;
  forward: Assignment | null;
  back: Assignment | null;
}

/** Says why a node is on its version, why it is not updating, and what would change that. */
@Injectable()
export class VersionExplainer {
  constructor(
    private readonly transactor: Transactor,
    private readonly members: MembershipsReadModel,
    private readonly releases: ReleasesReadModel,
    private readonly workloads: WorkloadsReadModel,
    private readonly rollouts: RolloutsRepository,
    private readonly waves: WavesRepository,
    private readonly assignments: AssignmentsRepository,
    private readonly nodeVersions: NodeVersionsRepository,
    private readonly pins: VersionPinsRepository,
    private readonly emergencies: EmergencyPinsRepository,
  ) {}

  /** @throws not_found */
  explain(clusterId: string, nodeId: string, name: string): Promise<VersionExplanation> {
    return this.transactor.read(async (tx) => {
      const product = await this.releases.product(tx, name);
      const [member] = await this.members.updateSubjects(tx, clusterId, [nodeId]);
      if (product === null || member === undefined)
        throw notFound('not_found', 'There is no such node or product.');
      const installed = await this.installed(tx, clusterId, product, member);
      const known = await this.nodeVersions.find(tx, { clusterId, nodeId, productId: product.id });
      const part = await this.partOf(tx, clusterId, product, nodeId);
      const pin = await this.pins.find(tx, clusterId, nodeId, product.id);
      const emergency = await this.emergencies.ofNode(tx, clusterId, nodeId, product.id);
      const sources: VersionSources = {
        isFenced: known?.isFenced ?? false,
        emergencyPin: emergency?.version ?? null,
        nodePin: pin !== null && isInForce(pin, tx.now) ? pin.version : null,
        ...sourcesOf(part, installed),
        channel: await this.channel(tx, clusterId, product),
      };
      const versions = new ReleaseVersions(await this.releases.releasesOf(tx, product.id));
      const { os, arch } = member;
      const lastKnownGood = known?.lastKnownGood ?? null;
      const facts = { installed, lastKnownGood, platform: `${os}/${arch}`, ...versions.for(member) };
      const desired = desiredVersion(sources, facts);
      const told = await this.rolloutOf(tx, part);
      const away = await this.members.isAwayNow(tx, clusterId, nodeId);
      return {
        nodeId,
        product: name,
        installed,
        lastKnownGood,
        desired,
        emergencyPin: emergency === null ? null : pinOf(emergency),
        rollout: told,
        ...reasons(desired, installed, told, away),
      };
    });
  }

  private async installed(
    tx: ReadTx,
    clusterId: string,
    { serviceType }: KnownProduct,
    { nodeId, agentVersion }: UpdateMember,
  ): Promise<string | null> {
    if (serviceType === null) return agentVersion;
    return (await this.workloads.versions(tx, clusterId, serviceType)).get(nodeId) ?? null;
  }

  private async partOf(
    tx: ReadTx,
    clusterId: string,
    { id }: KnownProduct,
    nodeId: string,
  ): Promise<Part | null> {
    const rollout = await this.rollouts.lastOf(tx, clusterId, id, nodeId);
    if (rollout === null) return null;
    const ways = await this.assignments.ofNodes(tx, rollout.id, [nodeId]);
    const way = (direction: Assignment['direction']) =>
      ways.find((each) => each.direction === direction) ?? null;
    return { rollout, forward: way('forward'), back: way('back') };
  }

  private async channel(tx: ReadTx, clusterId: string, { id }: KnownProduct): Promise<string | null> {
    const pointers = await this.releases.channels(tx, clusterId);
    const current = pointers.find(({ productId, channel }) => productId === id && channel === 'current');
    const releases = await this.releases.releasesOf(tx, id);
    return releases.find(({ releaseId }) => releaseId === current?.releaseId)?.version ?? null;
  }

  private async rolloutOf(tx: ReadTx, part: Part | null): Promise<VersionExplanation['rollout']> {
    const assignment = part?.back ?? part?.forward ?? null;
    if (part === null || assignment === null) return null;
    const waves = await this.waves.list(tx, [part.rollout.id]);
    const wave = waves.find(({ position }) => position === assignment.wavePosition);
    return {
      rolloutId: part.rollout.id,
      kind: part.rollout.kind,
      state: part.rollout.state,
      stateReason: part.rollout.stateReason,
      wave: wave?.name ?? null,
      waveState: wave?.state ?? null,
      assignmentState: assignment.state,
      assignmentReason: assignment.stateReason,
      phase: assignment.isWrittenOff ? null : phaseOf(assignment),
      updateState: assignment.nodeState,
      retriesLeft: assignment.retriesLeft,
    };
  }
}

function pinOf({ id, reason, expiresAt }: EmergencyPin): VersionExplanation['emergencyPin'] {
  return { id, reason, expiresAt: expiresAt.toISOString() };
}

/** What the rollout says of the node. */
function sourcesOf(
  part: Part | null,
  installed: string | null,
): Pick<VersionSources, 'rollback' | 'granted' | 'joiner'> {
  const nothing = { rollback: null, granted: null, joiner: null };
  if (part === null) return nothing;
  const { rollout } = part;
  // A node that was written off is told of its way no more.
  const told = (way: Assignment | null) => (way?.isWrittenOff === true ? null : way);
  const [forward, back] = [told(part.forward), told(part.back)];
  if (back !== null && ['planned', 'offered', 'granted', 'applying', 'health', 'lost'].includes(back.state))
    return { ...nothing, rollback: back.toVersion };
  if (forward !== null && phaseOf(forward) !== null) return { ...nothing, granted: forward.toVersion };
  const isWaiting = isUnfinished(rollout.state) && forward?.state === 'planned';
  return isWaiting ? { ...nothing, joiner: forward.fromVersion ?? installed } : nothing;
}

function reasons(
  desired: DesiredVersion,
  installed: string | null,
  rollout: VersionExplanation['rollout'],
  isAway: boolean,
): Pick<VersionExplanation, 'notUpdatingBecause' | 'wouldChangeWith'> {
  const found = whyNot(desired, installed, rollout, isAway);
  return {
    notUpdatingBecause: found.map(({ because }) => because),
    wouldChangeWith: found.map(({ remedy }) => remedy),
  };
}
