import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  type IdentityStatus,
  keyWorks,
  ROTATION_OVERLAP_SECONDS,
  type RotationVerdict,
  rotationVerdict,
} from './node-identity.js';

const now = new Date('2026-11-23T08:00:00.000Z');
const at = (milliseconds: number) => new Date(now.getTime() + milliseconds);

describe('a key', () => {
  it.each<[string, IdentityStatus, Date | null, boolean]>([
    ['works while it is active', 'active', null, true],
    ['works until the end of the overlap', 'rotated', at(1), true],
    ['works no more at the end of the overlap', 'rotated', at(0), false],
    ['works no more after it', 'rotated', at(-1), false],
    ['that was replaced without an overlap does not work', 'rotated', null, false],
    ['that was revoked within the overlap does not work', 'revoked', at(1), false],
    ['that was revoked does not work', 'revoked', null, false],
  ])('%s', (_, identityStatus, validUntil, works) =>
    expect(keyWorks({ identityStatus, validUntil }, now)).toBe(works),
  );
});

describe('a rotation', () => {
  it.each<['active' | 'previous', string, RotationVerdict]>([
    ['active', 'fresh', 'rotate'],
    ['active', 'now', 'unchanged_key'],
    ['previous', 'now', 'repeated'],
    ['previous', 'fresh', 'superseded'],
  ])('by the %s key to the %s one: %s', (signer, to, verdict) =>
    expect(rotationVerdict(signer, 'now', to)).toBe(verdict),
  );

  it('of any history leaves one key at a time, none twice, and old ones for a minute', () => {
    const SECONDS = 1_000;
    interface Row {
      key: number;
      identityStatus: IdentityStatus;
      validUntil: Date | null;
    }
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ by: fc.nat(5), to: fc.nat(5) }) },
      { weight: 3, arbitrary: fc.record({ passes: fc.integer({ min: 1, max: 90 }) }) },
      { weight: 1, arbitrary: fc.constant('revoke' as const) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let clock = 0;
        let rows: Row[] = [{ key: 0, identityStatus: 'active', validUntil: null }];
        // Beside the rows, in other words: when each key was replaced, and when all came to an end.
        const replacedAt = new Map<number, number>();
        let isOver = false;
        for (const each of steps) {
          const current = rows.findIndex(({ identityStatus }) => identityStatus === 'active');
          if (each === 'revoke') {
            rows = rows.map((row) => ({ ...row, identityStatus: 'revoked' }));
            isOver = true;
          } else if ('passes' in each) clock += each.passes * SECONDS;
          else if (current >= 0) {
            const [active, previous] = [rows[current], rows[current - 1]];
            const signer = each.by === active?.key ? 'active' : each.by === previous?.key ? 'previous' : null;
            const isTaken = rows.some(({ key }) => key === each.to);
            const verdict =
              signer === null ? null : rotationVerdict(signer, String(active?.key), String(each.to));
            if (verdict === 'repeated') expect([signer, each.to]).toEqual(['previous', active?.key]);
            if (verdict === 'rotate' && !isTaken) {
              expect(signer).toBe('active');
              const validUntil = at(clock + ROTATION_OVERLAP_SECONDS * SECONDS);
              const kept = rows.map(
                (row): Row => (row === active ? { ...row, identityStatus: 'rotated', validUntil } : row),
              );
              rows = [...kept, { key: each.to, identityStatus: 'active', validUntil: null }];
              replacedAt.set(each.by, clock);
            }
          }
          const working = rows.filter((row) => keyWorks(row, at(clock))).map(({ key }) => key);
          const expected = rows
            .map(({ key }) => key)
            .filter(
              (key) => !isOver && clock < (replacedAt.get(key) ?? Number.POSITIVE_INFINITY) + 60 * SECONDS,
            );
          expect(working).toEqual(expected);
          expect(new Set(rows.map(({ key }) => key)).size).toBe(rows.length);
        }
      }),
    );
  });
});
