import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { ReleasesReadModel } from '../releases/releases.read-model.js';
import type { Assignment, NewAssignment } from './assignment.js';
import { wayBack } from './engine/way-back.js';
import { NodeVersionsRepository } from './node-versions.repository.js';
import { ReleaseVersions } from './release-versions.js';
import type { Rollout } from './rollout.js';

/** Finds where nodes go that are to leave the version of a rollout. */
@Injectable()
export class WaysBack {
  constructor(
    private readonly releases: ReleasesReadModel,
    private readonly nodeVersions: NodeVersionsRepository,
  ) {}

  /** Their ways back: to the version that each had before, else to its last good one. */
  async of(tx: ReadTx, rollout: Rollout, reached: readonly Assignment[]): Promise<NewAssignment[]> {
    if (reached.length === 0) return [];
    const { clusterId, productId } = rollout;
    const versions = new ReleaseVersions(await this.releases.releasesOf(tx, productId));
    const fromNowhere = reached.filter(({ fromVersion }) => fromVersion === null);
    const nodeIds = fromNowhere.map(({ nodeId }) => nodeId);
    const known = await this.nodeVersions.ofNodes(tx, clusterId, productId, nodeIds);
    return reached.flatMap((assignment) => {
      const lastKnownGood = assignment.fromVersion ?? known.get(assignment.nodeId)?.lastKnownGood ?? null;
      return wayOf(rollout, assignment, lastKnownGood, versions);
    });
  }
}

/** A node of which nobody knows where to let it go stays, and is counted. */
function wayOf(
  rollout: Rollout,
  { nodeId, wavePosition, place, os, arch, state, isWrittenOff, toVersion }: Assignment,
  lastKnownGood: string | null,
  versions: ReleaseVersions,
): NewAssignment[] {
  const release = lastKnownGood === null ? null : versions.find(lastKnownGood);
  const facts =
    lastKnownGood === null
      ? undefined
      : versions.for({ os, arch, agentVersion: null }).release(lastKnownGood);
  const way = wayBack({
    state,
    isWrittenOff,
    badVersion: rollout.targetVersion,
    lastKnownGood,
    isLastKnownGoodUsable:
      facts?.isApproved === true && !facts.isBlocked && facts.platforms.has(`${os}/${arch}`),
  });
  if (way.kind === 'nothing') return [];
  const row = {
    nodeId,
    direction: 'back' as const,
    wavePosition,
    place,
    os,
    arch,
    fromVersion: toVersion,
    isStop: false,
    retriesLeft: rollout.strategy.retryBudget ?? 0,
  };
  if (way.kind === 'stranded' || release === null) {
    const to = {
      toVersion: lastKnownGood ?? toVersion,
      toReleaseId: release?.releaseId ?? rollout.releaseId,
    };
    return [{ ...row, ...to, state: 'skipped', stateReason: 'last_known_good_missing' }];
  }
  return [
    { ...row, toVersion: way.version, toReleaseId: release.releaseId, state: 'planned', stateReason: null },
  ];
}
