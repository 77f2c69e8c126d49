/** What decides whether `stable` may be pointed to a version. */
export interface PromotionFacts {
  now: Date;
  rolloutRequired: boolean;
  soakSeconds: number;
  /** `stable` has named no version yet. */
  isFirst: boolean;
  /** `stable` has named this version before. */
  wasThere: boolean;
  /** When the first of the version's rollouts that stand succeeded now has ended; null: there is none. */
  provenAt: Date | null;
}

export type Promotion =
  /** It is not asked for more than it is: the policy wants nothing, or nothing is promoted. */
  | { kind: 'free' }
  | { kind: 'proven'; soakedSeconds: number }
  | { kind: 'refused'; reason: 'no_finished_rollout'; soakedSeconds: null }
  | { kind: 'refused'; reason: 'soak_not_over'; soakedSeconds: number };

/**
 * Whether a version may become the stable one. The first version that `stable` names is where a cluster begins, and one
 * that it has named before is gone back to: neither is a promotion.
 */
export function promotionOf(facts: PromotionFacts): Promotion {
  const { now, rolloutRequired, soakSeconds, isFirst, wasThere, provenAt } = facts;
  if (!rolloutRequired || isFirst || wasThere) return { kind: 'free' };
  if (provenAt === null) return { kind: 'refused', reason: 'no_finished_rollout', soakedSeconds: null };
  const soakedSeconds = Math.max(0, Math.floor((now.getTime() - provenAt.getTime()) / 1_000));
  return soakedSeconds < soakSeconds
    ? { kind: 'refused', reason: 'soak_not_over', soakedSeconds }
    : { kind: 'proven', soakedSeconds };
}
