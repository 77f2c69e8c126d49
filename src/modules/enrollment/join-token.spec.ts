import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type JoinToken, type JoinTokenStatus, joinTokenStatus } from './join-token.js';

const now = new Date('2026-11-23T08:00:00.000Z');
const later = new Date(now.getTime() + 1);
const fresh = { expiresAt: later, maxUses: 1, usedCount: 0, revokedAt: null };

describe('joinTokenStatus', () => {
  it.each<[string, Partial<JoinToken>, JoinTokenStatus]>([
    ['unused and in time', {}, 'active'],
    ['expires exactly now', { expiresAt: now }, 'expired'],
    ['last use spent', { usedCount: 1 }, 'exhausted'],
    ['one of two uses spent', { usedCount: 1, maxUses: 2 }, 'active'],
    ['revoked after it expired', { revokedAt: now, expiresAt: now }, 'revoked'],
    ['expired when spent', { usedCount: 1, expiresAt: now }, 'expired'],
    ['revoked when spent', { usedCount: 1, revokedAt: now }, 'revoked'],
  ])('%s', (_, change, status) => {
    expect(joinTokenStatus({ ...fresh, ...change }, now)).toBe(status);
  });

  it('never comes back to life: what is over stays over as time passes', () => {
    const tokens = fc.record({
      expiresAt: fc.integer({ min: -10, max: 10 }).map((ms) => new Date(now.getTime() + ms)),
      revokedAt: fc.constantFrom(null, now),
      maxUses: fc.integer({ min: 1, max: 3 }),
      usedCount: fc.integer({ min: 0, max: 3 }),
    });
    fc.assert(
      fc.property(tokens, fc.nat(20), (token, passed) => {
        const before = joinTokenStatus(token, now);
        const after = joinTokenStatus(token, new Date(now.getTime() + passed));
        if (before !== 'active') expect(after).not.toBe('active');
      }),
    );
  });
});
