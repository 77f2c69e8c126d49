import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type IdentityStatus, keyWorks, type RotationVerdict, rotationVerdict } from './node-identity.js';

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

  it('of any history leaves one key that may rotate, and no key twice', () => {
    const attempt = fc.record({
      signer: fc.constantFrom('active' as const, 'previous' as const),
      key: fc.nat(6),
    });
    fc.assert(
      fc.property(fc.array(attempt, { maxLength: 40 }), (attempts) => {
        const history = ['0'];
        for (const { signer, key } of attempts) {
          if (signer === 'previous' && history.length === 1) continue;
          const active = history.at(-1) ?? '';
          const verdict = rotationVerdict(signer, active, String(key));
          if (verdict === 'rotate' && !history.includes(String(key))) history.push(String(key));
          if (verdict === 'repeated') expect(history.at(-1)).toBe(String(key));
        }
        expect(new Set(history).size).toBe(history.length);
      }),
    );
  });
});
