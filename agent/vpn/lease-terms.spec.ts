import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { heldLease } from './lease-terms.js';

const serverTime = '2026-01-01T00:00:00.000Z';
const leaving = (leftMs: number, more: object = {}) => ({
  fencingToken: 4_294_967_297,
  serverTime,
  expiresAt: new Date(Date.parse(serverTime) + leftMs).toISOString(),
  ...more,
});

it('counts the time that is left from before the request, so that it never ends after the service lets another in', () => {
  const times = {
    left: fc.integer({ min: 1, max: 3_600_000 }),
    sent: fc.double({ min: 0, max: 1e12, noNaN: true }),
  };
  fc.assert(
    fc.property(
      times.left,
      times.sent,
      fc.integer({ min: 0, max: 60_000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (leftMs, sentAtMs, stopMs, random) => {
        const lease = heldLease(leaving(leftMs), sentAtMs, stopMs, random);
        expect(lease.validUntilMs).toBe(sentAtMs + leftMs);
        expect(lease.stopAtMs).toBeLessThanOrEqual(lease.validUntilMs);
        expect(lease.validUntilMs - lease.stopAtMs).toBeLessThanOrEqual(stopMs + 1e-3);
        // Renewed before it is stopped, and not before it was asked for.
        expect(lease.renewAtMs).toBeGreaterThanOrEqual(sentAtMs);
        expect(lease.renewAtMs).toBeLessThan(lease.stopAtMs);
      },
    ),
  );
});

it('renews at about a third of the time', () => {
  const at = (random: number) => heldLease(leaving(30_000), 0, 1_000, random).renewAtMs;
  expect([at(0), at(0.5), at(0.999)].map(Math.round)).toEqual([9_000, 10_000, 10_998]);
});

it('is recalled when the service asks for its release', () => {
  expect(heldLease(leaving(30_000), 0, 0, 0).isRecalled).toBe(false);
  expect(heldLease(leaving(30_000, { releaseRequested: true }), 0, 0, 0).isRecalled).toBe(true);
});

it.each<[string, object]>([
  ['no token', leaving(1, { fencingToken: undefined })],
  ['a token beyond the safe integers', leaving(1, { fencingToken: 2 ** 53 })],
  ['no time', { fencingToken: 1, serverTime }],
  ['a time that is none', leaving(1, { expiresAt: 'soon' })],
])('refuses an answer with %s', (_, answer) => {
  expect(() => heldLease(answer as Record<string, unknown>, 0, 0, 0)).toThrow();
});
