import { Injectable } from '@nestjs/common';
import type { Actor } from '../../common/request/actor.js';
import type { Tx } from '../../common/transaction/tx.js';
import type { NewAssignment } from './assignment.js';
import { AssignmentsRepository } from './assignments.repository.js';
import type { RolloutKind } from './rollout.js';
import type { PreparedRollout } from './rollout-planner.js';
import { RolloutsRepository } from './rollouts.repository.js';
import { WavesRepository } from './waves.repository.js';

/** Writes rollouts down as they were planned. */
@Injectable()
export class RolloutDrafts {
  constructor(
    private readonly rollouts: RolloutsRepository,
    private readonly waves: WavesRepository,
    private readonly assignments: AssignmentsRepository,
  ) {}

  /** A draft with its waves and nodes. Returns its id. */
  async write(
    tx: Tx,
    actor: Actor,
    clusterId: string,
    prepared: PreparedRollout,
    kind: RolloutKind,
  ): Promise<string> {
    const { product, release, selector, strategy, salt, planHash, downgradePossible, plan } = prepared;
    const id = tx.newId();
    const { releaseId, version: targetVersion } = release;
    const row = { id, clusterId, productId: product.id, releaseId, targetVersion };
    const startAt = strategy.startAt === null ? null : new Date(strategy.startAt);
    const terms = { kind, selector, strategy, salt, planHash, downgradePossible, startAt };
    await this.rollouts.insert(tx, actor, { ...row, ...terms });
    const planned = plan.waves.map(({ nodes }) => nodes.length);
    const waves = strategy.waves.map((wave, index) => ({ ...wave, plannedMembers: planned[index] ?? 0 }));
    await this.waves.insert(tx, id, waves);
    await this.assignments.insert(tx, row, assignmentsOf(prepared));
    return id;
  }
}

/** Every node of the selection: in its wave, or skipped with the reason. */
function* assignmentsOf(prepared: PreparedRollout): Generator<NewAssignment> {
  const { plan, release, versions, platforms, strategy } = prepared;
  const of = (nodeId: string) => ({
    nodeId,
    direction: 'forward' as const,
    os: platforms.get(nodeId)?.os ?? '',
    arch: platforms.get(nodeId)?.arch ?? '',
    retriesLeft: strategy.retryBudget ?? 0,
  });
  for (const [wavePosition, { nodes }] of plan.waves.entries())
    for (const [place, { nodeId, fromVersion, nextVersion }] of nodes.entries())
      yield {
        ...of(nodeId),
        ...{ wavePosition, place, fromVersion, toVersion: nextVersion },
        isStop: nextVersion !== release.version,
        toReleaseId: versions.find(nextVersion)?.releaseId ?? release.releaseId,
        state: 'planned',
        stateReason: null,
      };
  for (const [place, { nodeId, reason }] of plan.skipped.entries())
    yield {
      ...of(nodeId),
      ...{ wavePosition: null, place, fromVersion: null, toVersion: release.version, isStop: false },
      toReleaseId: release.releaseId,
      state: 'skipped',
      stateReason: reason,
    };
}
