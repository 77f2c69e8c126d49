import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { NodeCertificate } from './node-certificate.js';
import { type RenewalGrounds, renewalOf, windowPollMs } from './renewal-plan.js';

const minutes = (after: number): Date => new Date(Date.parse('2026-03-01T12:00:00.000Z') + after * 60_000);
const wish = { keyType: 'p256', lifetimeSeconds: null } as const;
/** Obtained at 0, over at 1440, announced for 1000. */
const held: NodeCertificate = {
  ...wish,
  key: '',
  certificate: '',
  intermediates: '',
  serial: `7${'0'.repeat(31)}`, // the beginning of every spread
  notBefore: minutes(-5),
  notAfter: minutes(1_440),
  obtainedAt: minutes(0).toISOString(),
  renewAfter: minutes(1_000).toISOString(),
};
const windowOf = (start: number, end: number, serial = held.serial) => ({
  serial,
  start: minutes(start),
  end: minutes(end),
});
const NOW = new Date(0);

describe('a certificate', () => {
  it.each<[string, Partial<RenewalGrounds>, Date, string]>([
    ['is wanted at once where there is none', { held: null, isRooted: false }, NOW, 'none'],
    ['is renewed when the answer said', {}, minutes(1_000), 'due'],
    [
      'is renewed from two thirds of its life where nothing was said',
      { held: { ...held, renewAfter: null } },
      minutes(960),
      'due',
    ],
    ['keeps its instant in a window that stays', { window: windowOf(960, 1_104) }, minutes(1_000), 'due'],
    ['follows a window that has moved forward', { window: windowOf(100, 200) }, minutes(100), 'due'],
    ['follows a window that has moved back', { window: windowOf(1_200, 1_300) }, minutes(1_200), 'due'],
    ['ignores the window of another one', { window: windowOf(100, 200, 'other') }, minutes(1_000), 'due'],
    ['is replaced at once when its root is gone', { isRooted: false }, NOW, 'root_gone'],
    ['is replaced at once when it is revoked', { isRevoked: true }, NOW, 'revoked'],
    [
      'is replaced at once when another lifetime is wanted',
      { wish: { ...wish, lifetimeSeconds: 600 } },
      NOW,
      'other_wish',
    ],
    [
      'is replaced at once when another kind of key is wanted',
      { wish: { ...wish, keyType: 'ed25519' } },
      NOW,
      'other_wish',
    ],
  ])('%s', (_, change, at, reason) => {
    expect(renewalOf({ held, wish, isRooted: true, isRevoked: false, window: null, ...change })).toEqual({
      at,
      reason,
    });
  });

  it('is renewed within the window, or within the spread of its own life, whatever its serial', () => {
    const serials = fc.string({ unit: fc.constantFrom(...'0123456789ABCDEF'), minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(serials, (serial) => {
        const own = { ...held, serial, renewAfter: null };
        const grounds = { held: own, wish, isRooted: true, isRevoked: false };
        const inWindow = renewalOf({ ...grounds, window: windowOf(300, 400, serial) }).at;
        const alone = renewalOf({ ...grounds, window: null }).at;
        return (
          minutes(300) <= inWindow &&
          inWindow < minutes(400) &&
          minutes(960) <= alone &&
          alone < minutes(1_104)
        );
      }),
    );
  });

  it.each([
    [1_440, 900_000],
    [60, 37_500],
    [0.2, 5_000],
  ])('of %d minutes has the service asked for its window every %d ms', (life, ms) => {
    expect(windowPollMs({ ...held, notAfter: minutes(life) })).toBe(ms);
  });
});
