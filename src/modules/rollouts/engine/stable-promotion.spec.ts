import { describe, expect, it } from '@jest/globals';
import { type Promotion, type PromotionFacts, promotionOf } from './stable-promotion.js';

const now = new Date('2027-01-01T00:10:00Z');
const asked: PromotionFacts = {
  now,
  rolloutRequired: true,
  soakSeconds: 600,
  isFirst: false,
  wasThere: false,
  provenAt: new Date('2027-01-01T00:00:00Z'),
};

describe('a promotion to stable', () => {
  it.each<[string, Partial<PromotionFacts>, Promotion]>([
    ['passes at the instant at which the soak is over', {}, { kind: 'proven', soakedSeconds: 600 }],
    [
      'waits until then',
      { now: new Date('2027-01-01T00:09:59.999Z') },
      { kind: 'refused', reason: 'soak_not_over', soakedSeconds: 599 },
    ],
    [
      'needs a rollout',
      { provenAt: null },
      { kind: 'refused', reason: 'no_finished_rollout', soakedSeconds: null },
    ],
    [
      'needs one even without a soak',
      { provenAt: null, soakSeconds: 0 },
      { kind: 'refused', reason: 'no_finished_rollout', soakedSeconds: null },
    ],
    [
      'needs no soak where none is asked',
      { soakSeconds: 0, provenAt: now },
      { kind: 'proven', soakedSeconds: 0 },
    ],
    ['is not what the first version is', { isFirst: true, provenAt: null }, { kind: 'free' }],
    ['is not what the way back is', { wasThere: true, provenAt: null }, { kind: 'free' }],
    ['is free where the policy says so', { rolloutRequired: false, provenAt: null }, { kind: 'free' }],
    [
      'does not soak before its rollout has ended',
      { now: new Date('2026-12-31T00:00:00Z') },
      { kind: 'refused', reason: 'soak_not_over', soakedSeconds: 0 },
    ],
  ])('%s', (_, change, expected) => expect(promotionOf({ ...asked, ...change })).toEqual(expected));
});
