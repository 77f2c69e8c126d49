import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  ended,
  fencingToken,
  firstExpiry,
  isHolder,
  isInForce,
  type Lease,
  type LeaseStatus,
  leaseAt,
  NEXT_LEASE_STATUS,
  renewed,
  termOfToken,
} from './lease.js';

const at = (seconds: number) => new Date(Date.UTC(2026, 10, 28, 8) + seconds * 1_000);
const lease: Lease = {
  id: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21',
  clusterId: 'cluster',
  connectionId: 'connection',
  ownerNodeId: 'one',
  status: 'active',
  fencingToken: fencingToken(1, 1),
  acquiredAt: at(0),
  renewedAt: at(0),
  expiresAt: at(30),
  eligibleUntil: null,
  ttlSeconds: 30,
  renewalCount: 0,
  endedAt: null,
  endReason: null,
};

describe('a fencing token', () => {
  it('is the term above the sequence, and below 2^53', () => {
    expect(fencingToken(1, 1)).toBe(4_294_967_297);
    expect(fencingToken(2_097_151, 4_294_967_295)).toBe(Number.MAX_SAFE_INTEGER);
    expect(() => fencingToken(2_097_152, 0)).toThrow();
    expect(() => fencingToken(1, 2 ** 32)).toThrow();
  });

  const parts = fc.tuple(fc.integer({ min: 1, max: 2_097_151 }), fc.integer({ min: 0, max: 2 ** 32 - 1 }));

  it('grows when the term or the sequence grows and neither goes back', () => {
    fc.assert(
      fc.property(parts, parts, ([term, sequence], [otherTerm, otherSequence]) => {
        const [low, high] = [
          fencingToken(Math.min(term, otherTerm), Math.min(sequence, otherSequence)),
          fencingToken(Math.max(term, otherTerm), Math.max(sequence, otherSequence)),
        ];
        expect(low === high).toBe(term === otherTerm && sequence === otherSequence);
        expect(low).toBeLessThanOrEqual(high);
      }),
    );
  });

  it('is above every token of a lower term, whatever the sequences', () => {
    fc.assert(
      fc.property(parts, parts, ([term, sequence], [otherTerm, otherSequence]) => {
        const [token, other] = [fencingToken(term, sequence), fencingToken(otherTerm, otherSequence)];
        expect(termOfToken(token)).toBe(term);
        if (term < otherTerm) expect(token).toBeLessThan(other);
      }),
    );
  });
});

describe('a lease', () => {
  it.each<[string, Partial<Lease>, Date, boolean]>([
    ['is in force from its first instant', {}, at(0), true],
    ['is in force until just before its end', {}, new Date(at(30).getTime() - 1), true],
    ['is over at its end', {}, at(30), false],
    ['is over when it was released', { status: 'released' }, at(0), false],
    ['is over when it was fenced', { status: 'fenced' }, at(0), false],
    [
      'is over when it was written down as expired, though the clock has stepped back',
      { status: 'expired' },
      at(0),
      false,
    ],
  ])('%s', (_, change, now, inForce) => {
    expect(isInForce({ ...lease, ...change }, now)).toBe(inForce);
  });

  it.each<[string, { nodeId?: string; fencingToken?: number }, Date, boolean]>([
    ['by owner and token', {}, at(29), true],
    ['not by another node', { nodeId: 'two' }, at(29), false],
    ['not by another token', { fencingToken: fencingToken(1, 2) }, at(29), false],
    ['not too late', {}, at(30), false],
  ])('is held %s', (_, change, now, holder) => {
    expect(isHolder(lease, { nodeId: 'one', fencingToken: lease.fencingToken, ...change }, now)).toBe(holder);
    expect(isHolder(null, { nodeId: 'one', fencingToken: lease.fencingToken, ...change }, now)).toBe(false);
  });

  it('reads as expired from its end on, whatever is stored', () => {
    expect(leaseAt(lease, at(29))).toBe(lease);
    expect(leaseAt(lease, at(99))).toEqual({
      ...lease,
      status: 'expired',
      endedAt: at(30),
      endReason: 'expired',
    });
    const fenced = ended(lease, 'fenced', at(3), 'Gone.');
    expect(leaseAt(fenced, at(99))).toBe(fenced);
  });

  it('ends once: the full table of statuses', () => {
    const statuses: LeaseStatus[] = ['active', 'released', 'expired', 'fenced'];
    const allowed = [
      ['active', 'released'],
      ['active', 'expired'],
      ['active', 'fenced'],
    ];
    for (const from of statuses) {
      for (const to of statuses) {
        const isAllowed = allowed.some(([one, other]) => one === from && other === to);
        expect(NEXT_LEASE_STATUS[from].includes(to)).toBe(isAllowed);
        if (to === 'active') continue;
        const end = () => ended({ ...lease, status: from }, to, at(1));
        if (isAllowed) expect(end()).toMatchObject({ status: to, endedAt: at(1), endReason: to });
        else expect(end).toThrow();
      }
    }
  });

  it('that is acquired ends with its TTL or with the role, whichever is sooner', () => {
    expect(firstExpiry(at(0), 30, null)).toEqual(at(30));
    expect(firstExpiry(at(0), 30, at(31))).toEqual(at(30));
    expect(firstExpiry(at(0), 30, at(7))).toEqual(at(7));
  });
});

describe('renewals', () => {
  const steps = fc.array(
    fc.record({ after: fc.integer({ min: 0, max: 40 }), ttl: fc.integer({ min: 5, max: 60 }) }),
    {
      maxLength: 12,
    },
  );

  it('in time never bring the end nearer, never beyond the role, and keep owner and token', () => {
    fc.assert(
      fc.property(steps, fc.option(fc.integer({ min: 1, max: 120 })), (list, roleEnds) => {
        const eligibleUntil = roleEnds === null ? null : at(roleEnds);
        let current: Lease = { ...lease, eligibleUntil, expiresAt: firstExpiry(at(0), 30, eligibleUntil) };
        let now = 0;
        for (const { after, ttl } of list) {
          now += after;
          if (!isInForce(current, at(now))) break;
          const next = renewed(current, at(now), ttl);
          expect(next.expiresAt.getTime()).toBeGreaterThanOrEqual(current.expiresAt.getTime());
          if (eligibleUntil !== null)
            expect(next.expiresAt.getTime()).toBeLessThanOrEqual(eligibleUntil.getTime());
          expect(next.expiresAt.getTime()).toBeLessThanOrEqual(
            Math.max(current.expiresAt.getTime(), at(now + ttl).getTime()),
          );
          expect(next).toMatchObject({
            ownerNodeId: current.ownerNodeId,
            fencingToken: current.fencingToken,
            acquiredAt: current.acquiredAt,
            renewalCount: current.renewalCount + 1,
            renewedAt: at(now),
          });
          current = next;
        }
      }),
    );
  });
});
