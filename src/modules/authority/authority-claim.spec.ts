import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type ClaimSource, isClaim, judgeClaim, type KnownClaim } from './authority-claim.js';

const now = new Date('2026-11-28T12:00:00.000Z');
const addSeconds = (instant: Date, seconds: number) => new Date(instant.getTime() + seconds * 1_000);
const ago = (seconds: number) => addSeconds(now, -seconds);
const NEVER: KnownClaim = { notedAt: null, raisedAt: null, heldAt: null };
const NOTHING = { notes: false, raises: false, holds: false };
const ALL = { notes: true, raises: true, holds: true };

describe('what a node claims to have seen', () => {
  it.each<[ClaimSource, number, boolean]>([
    ['heartbeat', 4, false],
    ['heartbeat', 5, false],
    ['heartbeat', 6, true],
    ['heartbeat', 5_000_000, true],
    ['fencing_token', 4, false],
    ['fencing_token', 5, true],
    ['fencing_token', 6, true],
  ])('in a %s, term %i where term 5 is known: a claim %s', (source, claimedTerm, expected) => {
    expect(isClaim({ claimedTerm, source }, 5)).toBe(expected);
  });

  it.each<[string, Partial<KnownClaim>, Date | null, typeof NOTHING]>([
    ['the first of all', {}, null, ALL],
    ['another node raised it a minute ago', {}, ago(60), ALL],
    ['another node raised it just now', {}, ago(59), { ...NOTHING, notes: true }],
    ['noted just now, nothing more', { notedAt: ago(1) }, ago(1), NOTHING],
    ['noted ten minutes ago', { notedAt: ago(600) }, ago(1), { ...NOTHING, notes: true }],
    ['raised by this node within the hour', { notedAt: ago(1), raisedAt: ago(3_599) }, ago(3_599), NOTHING],
    [
      'raised by this node an hour ago, held within the day',
      { notedAt: ago(1), raisedAt: ago(3_600), heldAt: ago(86_399) },
      ago(3_600),
      { notes: true, raises: true, holds: false },
    ],
    ['held a day ago', { notedAt: ago(1), raisedAt: ago(86_400), heldAt: ago(86_400) }, ago(60), ALL],
  ])('%s', (_, known, clusterRaisedAt, expected) => {
    const claim = { claimedTerm: 9, source: 'heartbeat' as const };
    const ground = { term: 5, clusterRaisedAt, known: { ...NEVER, ...known } };
    expect(judgeClaim(claim, ground, now)).toEqual(expected);
  });

  it('can be used up by no single node, whatever it claims and however often', () => {
    const claims = fc.array(
      fc.record({
        after: fc.integer({ min: 0, max: 2_000 }),
        claimedTerm: fc.integer({ min: 0, max: 2 ** 40 }),
      }),
      { minLength: 1, maxLength: 200 },
    );
    fc.assert(
      fc.property(claims, (attempts) => {
        let at = now;
        let term = 1;
        let known = NEVER;
        let [raises, notes, holds] = [0, 0, 0];
        for (const { after, claimedTerm } of attempts) {
          at = addSeconds(at, after);
          const before = term;
          const ground = { term, clusterRaisedAt: known.raisedAt, known };
          const verdict = judgeClaim({ claimedTerm, source: 'heartbeat' }, ground, at);
          if (verdict.raises) term += 1;
          if (verdict.notes) {
            notes += 1;
            known = {
              notedAt: at,
              raisedAt: verdict.raises ? at : known.raisedAt,
              heldAt: verdict.holds ? at : known.heldAt,
            };
          }
          raises += verdict.raises ? 1 : 0;
          holds += verdict.holds ? 1 : 0;
          expect(verdict.raises && claimedTerm <= before).toBe(false);
        }
        const seconds = (at.getTime() - now.getTime()) / 1_000;
        expect(raises).toBeLessThanOrEqual(1 + seconds / 3_600);
        expect(notes).toBeLessThanOrEqual(1 + seconds / 600);
        expect(holds).toBeLessThanOrEqual(1 + seconds / 86_400);
      }),
    );
  });
});
