import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { canonicalJson, sha256OfJson } from './canonical-json.js';

const cycle: { self?: unknown } = {};
cycle.self = [cycle];

describe('canonicalJson', () => {
  it.each<[string, unknown, string]>([
    [
      'sorts names by UTF-16 code units',
      { '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\ud83d\ude00': 5, '\u0080': 6, ö: 7 },
      '{"\\r":2,"1":4,"\u0080":6,"ö":7,"\u20ac":1,"\ud83d\ude00":5,"\ufb33":3}',
    ], // RFC 8785 section 3.2.3
    [
      'writes numbers as ECMAScript does',
      [Number('333333333.33333329'), 1e30, 4.5, 2e-3, 1e-27, -0],
      '[333333333.3333333,1e+30,4.5,0.002,1e-27,0]',
    ], // RFC 8785 section 3.2.2
    ['escapes only what must be', '€$\u000f\nA\'B"\\\\"/', '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'],
    ['sorts at every depth', { b: [{ d: null, c: true }], a: {} }, '{"a":{},"b":[{"c":true,"d":null}]}'],
    ['writes dates as JSON does', { at: new Date(0) }, '{"at":"1970-01-01T00:00:00.000Z"}'],
    ['leaves undefined members out', { a: undefined, b: 1 }, '{"b":1}'],
    [
      'takes one object at two places',
      [cycle.self === undefined ? 0 : 1, ...Array(2).fill({ a: 1 })],
      '[1,{"a":1},{"a":1}]',
    ],
  ])('%s', (_, value, text) => expect(canonicalJson(value)).toBe(text));

  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['undefined in an array', [undefined]],
    ['a hole in an array', new Array(1)],
    ['NaN', { a: Number.NaN }],
    ['an infinity', [Number.POSITIVE_INFINITY]],
    ['a function', { a: () => 1 }],
    ['a symbol', [Symbol('a')]],
    ['a bigint', 1n],
    ['a map', new Map([['a', 1]])],
    ['a set', { a: new Set() }],
    ['bytes', new Uint8Array(1)],
    ['an invalid date in an array', [{ toJSON: () => undefined }]],
    ['a lone surrogate', ['\ud800']],
    ['a lone surrogate in a name', { '\udc00': 1 }],
    ['a cycle', cycle],
  ])('throws on %s', (_, value) => expect(() => canonicalJson(value)).toThrow(TypeError));

  it('says the same value, in a text that does not depend on the order of names', () => {
    const value = fc.jsonValue({ maxDepth: 5 });
    fc.assert(
      fc.property(value, (input) => {
        const text = canonicalJson(input);
        const parsed: unknown = JSON.parse(text);
        expect(parsed).toEqual(JSON.parse(JSON.stringify(input)));
        expect(canonicalJson(reversed(parsed))).toBe(text);
      }),
    );
  });
});

describe('sha256OfJson', () => {
  it('is the SHA-256 of the canonical text', () => {
    expect(sha256OfJson({}).toString('hex')).toBe(
      '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
    );
  });
});

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([name, member]) => [name, reversed(member)])
      .reverse(),
  );
}
