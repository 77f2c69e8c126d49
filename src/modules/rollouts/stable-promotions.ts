import { Injectable, type OnModuleInit } from '@nestjs/common';
import { conflict } from '../../common/errors/domain-error.js';
import type { Tx } from '../../common/transaction/tx.js';
import { TxEvents } from '../../common/transaction/tx-events.js';
import { PolicyReadModel } from '../clusters/policy.read-model.js';
import { ChannelMoving, type ReleaseRef } from '../releases/release-events.js';
import { ReleasesReadModel } from '../releases/releases.read-model.js';
import { DecisionsRepository } from './decisions.repository.js';
import { type Promotion, promotionOf } from './engine/stable-promotion.js';
import { RolloutsRepository } from './rollouts.repository.js';

/** Lets `stable` name only what has shown itself in the cluster, as far as its policy asks. */
@Injectable()
export class StablePromotions implements OnModuleInit {
  constructor(
    private readonly events: TxEvents,
    private readonly policies: PolicyReadModel,
    private readonly releases: ReleasesReadModel,
    private readonly rollouts: RolloutsRepository,
    private readonly decisions: DecisionsRepository,
  ) {}

  onModuleInit(): void {
    this.events.on(ChannelMoving, async (tx, { clusterId, channel, to, cause }) => {
      if (channel === 'stable' && cause === 'operator' && to !== null) await this.judge(tx, clusterId, to);
    });
  }

  /** @throws conflict `promotion_not_proven` */
  private async judge(
    tx: Tx,
    clusterId: string,
    { productId, releaseId, version }: ReleaseRef,
  ): Promise<void> {
    // Nobody takes the rollout back meanwhile, and no policy asks for more.
    await this.rollouts.lockProduct(tx, clusterId, productId);
    const { stablePromotion } = await this.policies.hold(tx, clusterId);
    const named = await this.releases.namedBy(tx, clusterId, productId, 'stable');
    const proof = await this.rollouts.proofOf(tx, clusterId, releaseId);
    const { rolloutRequired = true, soakSeconds = 0 } = stablePromotion;
    const promotion = promotionOf({
      ...{ now: tx.now, rolloutRequired, soakSeconds },
      isFirst: named.size === 0,
      wasThere: named.has(releaseId),
      provenAt: proof?.finishedAt ?? null,
    });
    if (promotion.kind === 'refused') throw notProven(version, promotion, soakSeconds);
    if (promotion.kind === 'free' || proof === null) return;
    const { id, state } = proof;
    const inputs = { channel: 'stable', soakedSeconds: promotion.soakedSeconds, soakSeconds };
    const decision = { rule: 'promoted_to_stable', wave: null, fromState: state, toState: state };
    await this.decisions.add(tx, tx.actor, id, { ...decision, reason: null, inputs });
  }
}

function notProven(
  version: string,
  { reason, soakedSeconds }: Extract<Promotion, { kind: 'refused' }>,
  soakSeconds: number,
) {
  const message =
    reason === 'no_finished_rollout'
      ? `No rollout of ${version} stands succeeded in this cluster.`
      : `The rollout of ${version} ended ${soakedSeconds} seconds ago, and the policy asks for ${soakSeconds}.`;
  const extensions = { missing: reason, soakedSeconds, soakSeconds };
  return conflict('promotion_not_proven', message, { extensions, reason });
}
