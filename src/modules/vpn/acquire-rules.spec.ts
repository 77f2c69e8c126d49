import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DomainError } from '../../common/errors/domain-error.js';
import {
  ACQUIRE_RULES,
  type AcquireGround,
  type AcquireRule,
  explainAcquire,
  owns,
  requireAcquirable,
} from './acquire-rules.js';
import { INELIGIBLE_REASONS } from './eligibility.js';
import { ended, fencingToken, type Lease } from './lease.js';

const at = (seconds: number) => new Date(Date.UTC(2026, 10, 28, 8) + seconds * 1_000);
const lease: Lease = {
  id: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21',
  clusterId: 'cluster',
  connectionId: 'connection',
  ownerNodeId: 'other',
  status: 'active',
  fencingToken: fencingToken(1, 1),
  acquiredAt: at(-10),
  renewedAt: at(-10),
  expiresAt: at(20),
  eligibleUntil: null,
  ttlSeconds: 30,
  renewalCount: 0,
  endedAt: null,
  endReason: null,
};
const free: AcquireGround = {
  now: at(0),
  nodeId: 'one',
  lease: null,
  formerOwnerId: null,
  ineligible: [],
  authorityState: 'authoritative',
  takeoverHold: null,
  fenceHeldUntil: null,
  reservation: null,
  othersComeFirstUntil: null,
  tokenSeen: null,
  nextToken: fencingToken(1, 2),
};

/** How the acquisition is refused; null when it is not. */
function refused(ground: AcquireGround): { code: string; details: DomainError['details'] } | null {
  try {
    requireAcquirable(ground);
    return null;
  } catch (error) {
    if (error instanceof DomainError) return { code: error.code, details: error.details };
    throw error;
  }
}

describe('an acquisition', () => {
  it.each<[string, Partial<AcquireGround>, AcquireRule | null, string | null]>([
    ['of a free connection passes', {}, null, null],
    ['of what another holds does not', { lease }, 'not_held_by_another', 'lease_held'],
    [
      'at the instant at which another lease ends passes',
      { lease: { ...lease, expiresAt: at(0) } },
      null,
      null,
    ],
    ['of what has been released passes', { lease: ended(lease, 'released', at(-1)) }, null, null],
    [
      'needs an enabled connection',
      { ineligible: ['connection_disabled'] },
      'connection_enabled',
      'owner_not_eligible',
    ],
    [
      'needs an active member',
      { ineligible: ['membership_disabled'] },
      'member_active',
      'owner_not_eligible',
    ],
    ['needs an allowed node', { ineligible: ['not_allowed'] }, 'node_allowed', 'owner_not_eligible'],
    [
      'needs an effective role',
      { ineligible: ['capability_denied'] },
      'role_effective',
      'owner_not_eligible',
    ],
    ['needs authority', { authorityState: 'degraded' }, 'cluster_authoritative', 'cluster_not_authoritative'],
    [
      'waits for the end of a hold',
      { takeoverHold: { until: at(1), keepsFormerOwner: true }, formerOwnerId: 'one' },
      'no_takeover_hold',
      'takeover_held',
    ],
    [
      'waits for the end of a mass lapse',
      { takeoverHold: { until: at(1), keepsFormerOwner: false }, formerOwnerId: 'other' },
      'no_takeover_hold',
      'takeover_held',
    ],
    [
      'by who had it last does not wait for the end of a mass lapse',
      { takeoverHold: { until: at(1), keepsFormerOwner: false }, formerOwnerId: 'one' },
      null,
      null,
    ],
    ['at the end of a hold passes', { takeoverHold: { until: at(0), keepsFormerOwner: true } }, null, null],
    ['waits for the end of a fence', { fenceHeldUntil: at(1) }, 'no_fence_hold', 'takeover_held'],
    ['at the end of a fence passes', { fenceHeldUntil: at(0) }, null, null],
    [
      'waits while it is reserved for another',
      { reservation: { nodeId: 'other', until: at(1) } },
      'not_reserved_for_another',
      'takeover_held',
    ],
    ['of what is reserved for the node passes', { reservation: { nodeId: 'one', until: at(1) } }, null, null],
    ['after a reservation passes', { reservation: { nodeId: 'other', until: at(0) } }, null, null],
    ['lets a preferred node go first', { othersComeFirstUntil: at(1) }, 'no_preferred_node', 'takeover_held'],
    [
      'needs a token above all that were seen',
      { tokenSeen: fencingToken(1, 2) },
      'token_above_seen',
      'takeover_held',
    ],
    ['with a token above all that were seen passes', { tokenSeen: fencingToken(1, 1) }, null, null],
  ])('%s', (_, change, rule, code) => {
    const ground = { ...free, ...change };
    const broken = explainAcquire(ground).filter(({ passed }) => !passed);
    expect(broken.map((verdict) => [verdict.rule, verdict.code])).toEqual(
      rule === null ? [] : [[rule, code]],
    );
    expect(refused(ground)?.code ?? null).toBe(code);
  });

  it('is refused with what the caller needs to come back in time', () => {
    expect(refused({ ...free, lease })?.details).toEqual({ extensions: { expiresAt: at(20).toISOString() } });
    expect(refused({ ...free, ineligible: ['not_allowed', 'role_missing'] })?.details).toEqual({
      extensions: { reasons: ['not_allowed', 'role_missing'] },
    });
    expect(refused({ ...free, fenceHeldUntil: new Date(at(7).getTime() + 1) })?.details).toMatchObject({
      retryAfterSeconds: 8,
      extensions: { rule: 'no_fence_hold' },
    });
    expect(refused({ ...free, tokenSeen: fencingToken(9, 9) })?.details.retryAfterSeconds).toBeGreaterThan(0);
  });

  const holds = fc.option(fc.constantFrom(at(-1), at(0), at(1), at(50)));
  const grounds = fc.record({
    ...Object.fromEntries(Object.entries(free).map(([name, value]) => [name, fc.constant(value)])),
    lease: fc.option(
      fc
        .record({ owner: fc.constantFrom('one', 'other'), end: fc.integer({ min: -3, max: 3 }) })
        .map(({ owner, end }) => ({
          ...lease,
          ownerNodeId: owner,
          expiresAt: at(end),
        })),
    ),
    formerOwnerId: fc.constantFrom(null, 'one', 'other'),
    ineligible: fc.subarray([...INELIGIBLE_REASONS], { maxLength: 2 }),
    authorityState: fc.constantFrom('authoritative', 'degraded', 'fenced'),
    takeoverHold: fc.option(
      fc.record({ until: fc.constantFrom(at(-1), at(0), at(1)), keepsFormerOwner: fc.boolean() }),
    ),
    fenceHeldUntil: holds,
    reservation: fc.option(
      fc.record({ nodeId: fc.constantFrom('one', 'other'), until: fc.constantFrom(at(0), at(1)) }),
    ),
    othersComeFirstUntil: holds,
    tokenSeen: fc.option(fc.constantFrom(fencingToken(1, 1), fencingToken(1, 2), fencingToken(2, 0))),
  }) as unknown as fc.Arbitrary<AcquireGround>;

  it('is refused by the first rule that does not pass, and by none when all pass', () => {
    fc.assert(
      fc.property(grounds, (ground) => {
        const verdicts = explainAcquire(ground);
        expect(verdicts.map(({ rule }) => rule)).toEqual([...ACQUIRE_RULES]);
        const first = verdicts.find(({ passed }) => !passed);
        expect(refused(ground)?.code ?? null).toBe(first?.code ?? null);
      }),
    );
  });

  it('never passes while another node has an unexpired lease, nor for a node that is not eligible', () => {
    fc.assert(
      fc.property(grounds, (ground) => {
        if (refused(ground) !== null) return;
        expect(ground.lease === null || ground.lease.expiresAt <= ground.now || owns(ground)).toBe(true);
        expect(ground.ineligible).toEqual([]);
        expect(ground.authorityState).toBe('authoritative');
        if (ground.tokenSeen !== null) expect(ground.nextToken).toBeGreaterThan(ground.tokenSeen);
      }),
    );
  });

  it('passes by the time alone where a rule names an instant', () => {
    fc.assert(
      fc.property(grounds, (ground) => {
        for (const { rule, until } of explainAcquire(ground)) {
          if (until === null) continue;
          const then = explainAcquire({ ...ground, now: until }).find((verdict) => verdict.rule === rule);
          expect(then?.passed).toBe(true);
        }
      }),
    );
  });
});
