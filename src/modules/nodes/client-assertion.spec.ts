import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type AssertionClaims, assertionFault, CLOCK_SKEW_SECONDS } from './client-assertion.js';

const now = new Date('2026-11-23T08:00:00.000Z');
const seconds = now.getTime() / 1000;
const rule = {
  subject: 'node-1',
  maxLifetimeSeconds: 300,
  acceptsAudience: (aud: unknown) => aud === 'https://fabric',
};
const good: AssertionClaims = {
  iss: 'node-1',
  sub: 'node-1',
  aud: 'https://fabric',
  jti: 'a',
  iat: seconds,
  exp: seconds + 60,
};

describe('a client assertion', () => {
  it.each<[string, AssertionClaims, string | null]>([
    ['is good', {}, null],
    ['has another issuer', { iss: 'node-2' }, 'claims'],
    ['has another subject', { sub: 'node-2' }, 'claims'],
    ['has no issuer', { iss: undefined }, 'claims'],
    ['has no jti', { jti: undefined }, 'claims'],
    ['has an empty jti', { jti: '' }, 'claims'],
    ['has the longest jti', { jti: 'x'.repeat(256) }, null],
    ['has a jti that is too long', { jti: 'x'.repeat(257) }, 'claims'],
    ['has a jti that is no text', { jti: 7 }, 'claims'],
    ['has no iat', { iat: undefined }, 'claims'],
    ['has an exp that is no number', { exp: String(seconds + 60) }, 'claims'],
    ['is for somebody else', { aud: 'https://other' }, 'audience'],
    ['is for nobody', { aud: undefined }, 'audience'],
    ['lives for five minutes', { exp: seconds + 300 }, null],
    ['lives for longer', { exp: seconds + 301 }, 'claims'],
    ['ends when it begins', { exp: seconds }, 'claims'],
    ['ends before it begins', { exp: seconds - 1 }, 'claims'],
    ['comes from a clock that is a minute fast', { iat: seconds + 60, exp: seconds + 120 }, null],
    ['comes from the future', { iat: seconds + 61, exp: seconds + 120 }, 'time'],
    ['ended just within the skew', { iat: seconds - 100, exp: seconds - 59 }, null],
    ['ended a minute ago', { iat: seconds - 100, exp: seconds - 60 }, 'time'],
    ['is from the beginning of time', { iat: 0, exp: 60 }, 'time'],
  ])('%s', (_, change, fault) =>
    expect(assertionFault({ ...good, ...change }, rule, now)?.fault ?? null).toBe(fault),
  );

  it('is good at no instant but from its beginning to its end, give or take the skew', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -400, max: 400 }),
        fc.integer({ min: 1, max: 300 }),
        (begin, lifetime) => {
          const claims = { ...good, iat: seconds + begin, exp: seconds + begin + lifetime };
          const isGood = begin <= CLOCK_SKEW_SECONDS && begin + lifetime > -CLOCK_SKEW_SECONDS;
          expect(assertionFault(claims, rule, now) === null).toBe(isGood);
        },
      ),
    );
  });

  it('is judged, whatever its claims are', () => {
    fc.assert(
      fc.property(
        fc.record({
          iss: fc.anything(),
          sub: fc.anything(),
          aud: fc.anything(),
          jti: fc.anything(),
          iat: fc.anything(),
          exp: fc.anything(),
        }),
        (claims) => {
          expect(assertionFault(claims, rule, now)).not.toBeNull();
        },
      ),
    );
  });
});
