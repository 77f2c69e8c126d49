import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { assignedPath } from '../releases/assigned-artifacts.js';
import { ReleasesReadModel } from '../releases/releases.read-model.js';
import { variantFor } from '../releases/version-rules.js';
import { phaseOf } from './assignment.js';
import { ROLLOUT_STATES, type RolloutState } from './engine/rollout-state.js';
import { RolloutsRepository } from './rollouts.repository.js';
import { UpdatesRepository } from './updates.repository.js';

/** What a node is told of an update: nothing in it depends on the clock. */
export interface NodeUpdate {
  assignmentId: string;
  rolloutId: string;
  product: string;
  fromVersion: string | null;
  toVersion: string;
  epoch: number;
  phase: 'offered' | 'granted';
  artifact: { os: string; arch: string; sha256: string; size: number; path: string };
  /** The DSSE envelope. */
  manifest: unknown;
}

/** What other modules ask of rollouts. */
@Injectable()
export class UpdatesReadModel {
  constructor(
    private readonly updates: UpdatesRepository,
    private readonly rollouts: RolloutsRepository,
    private readonly releases: ReleasesReadModel,
  ) {}

  /** The rollouts of a cluster by state. */
  async count(tx: ReadTx, clusterId: string): Promise<Record<RolloutState, number>> {
    const counts = await this.rollouts.countByState(tx, clusterId);
    return Object.fromEntries(ROLLOUT_STATES.map((state) => [state, counts.get(state) ?? 0])) as Record<
      RolloutState,
      number
    >;
  }

  /** What nodes are to do now, by node id; of what may not leave the service nothing is told. */
  async forNodes(
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[] | 'all',
  ): Promise<Map<string, NodeUpdate[]>> {
    const [told, signed] = await Promise.all([
      this.updates.told(tx, clusterId, nodeIds),
      this.releases.signed(tx, this.updates.toldReleases(clusterId, nodeIds)),
    ]);
    const updates = new Map<string, NodeUpdate[]>();
    const manifests = new Map(
      [...signed].map(([id, { envelope }]) => [id, JSON.parse(envelope.toString('utf8')) as unknown]),
    );
    for (const assignment of told) {
      const { nodeId, os, arch, toReleaseId } = assignment;
      const release = signed.get(toReleaseId);
      const phase = phaseOf(assignment);
      const subject = { os, arch, agentVersion: null, fromVersion: null };
      const artifact = release === undefined ? null : variantFor(release, subject);
      if (phase === null || artifact === null) continue;
      const { id: assignmentId, rolloutId, product, fromVersion, toVersion, epoch } = assignment;
      const { sha256, size } = artifact;
      const path = assignedPath(sha256);
      const update: NodeUpdate = {
        ...{ assignmentId, rolloutId, product, fromVersion, toVersion, epoch, phase },
        artifact: { os, arch, sha256, size, path },
        manifest: manifests.get(toReleaseId) ?? null,
      };
      updates.set(nodeId, [...(updates.get(nodeId) ?? []), update]);
    }
    return updates;
  }

  /** The artifacts that a node's assignments name now. */
  async artifactsOf(
    tx: ReadTx,
    clusterId: string,
    nodeId: string,
  ): Promise<{ releaseId: string; os: string; arch: string }[]> {
    const told = await this.updates.told(tx, clusterId, [nodeId]);
    return told.map(({ toReleaseId, os, arch }) => ({ releaseId: toReleaseId, os, arch }));
  }

  /** Nodes that may be told of an update now. */
  toldNodes(tx: ReadTx, clusterId: string): Promise<string[]> {
    return this.updates.toldNodes(tx, clusterId);
  }

  /** Releases that unfinished rollouts of the cluster, drafts aside, lead to, on the way and back too. */
  releasesUnderWay(tx: ReadTx, clusterId: string): Promise<string[]> {
    return this.updates.releasesUnderWay(tx, clusterId);
  }

  /** Clusters in which an unfinished rollout leads to the release, in the order of their ids. */
  clustersUnderWay(tx: ReadTx, releaseId: string): Promise<string[]> {
    return this.updates.clustersUnderWay(tx, releaseId);
  }
}
