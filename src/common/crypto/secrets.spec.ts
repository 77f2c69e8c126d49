import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decodeBase62, encodeBase62 } from './base62.js';
import { formatToken, newSecret, parseToken } from './secrets.js';

const ID = '01890a5d-ac96-774b-bcce-b302099a8057';
const token = formatToken('fab', ID, Buffer.alloc(32, 0xab));
const secret = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));

describe('base 62', () => {
  it('gives back the same bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 32 }), (bytes) => {
        const input = Buffer.from(bytes);
        expect(decodeBase62(encodeBase62(input, 43), input.length)).toEqual(input);
      }),
    );
  });

  it.each<[string, string, number]>([
    ['a character outside the alphabet', 'a_b', 16],
    ['a number too large for the bytes', 'z'.repeat(22), 16],
    ['nothing', '', 16],
  ])('refuses %s', (_, text, length) => expect(decodeBase62(text, length)).toBeNull());

  it('refuses to cut bytes that do not fit', () => {
    expect(() => encodeBase62(Buffer.alloc(4, 255), 5)).toThrow('do not fit');
  });
});

describe('token text', () => {
  it('keeps its form for good, since issued tokens depend on it', () => {
    expect(token).toBe('fab_02tcRIyrxLXTR81B3dqdOx_ehv1hsdOHPxDuX3xn9YyIKbgl4yJuySCWzdimD4heup3UaXXD');
  });

  it('gives back what it was made of', () => {
    fc.assert(
      fc.property(fc.constantFrom('fab' as const, 'fjt' as const), fc.uuid(), secret, (prefix, id, bytes) => {
        const text = formatToken(prefix, id, bytes);
        expect(text).toMatch(/^(fab|fjt)_[0-9A-Za-z]{22}_[0-9A-Za-z]{49}$/);
        expect(parseToken(text)).toEqual({ prefix, id, secret: bytes });
      }),
    );
  });

  it('notices any one changed character', () => {
    fc.assert(
      fc.property(fc.nat(token.length - 1), fc.constantFrom(...'0Aaz_-'), (at, character) => {
        fc.pre(token[at] !== character);
        expect(parseToken(token.slice(0, at) + character + token.slice(at + 1))).toBeNull();
      }),
    );
  });

  it.each<[string, string]>([
    ['nothing', ''],
    ['another prefix', token.replace('fab', 'ghp')],
    ['the other prefix with the same checksum', token.replace('fab', 'fjt')],
    ['a space before it', ` ${token}`],
    ['a line feed after it', `${token}\n`],
    ['a character too many', `${token}0`],
    ['a character too few', token.slice(0, -1)],
  ])('refuses %s', (_, text) => expect(parseToken(text)).toBeNull());

  it('is made of a UUID and 32 bytes only', () => {
    expect(() => formatToken('fab', 'not-an-id', newSecret())).toThrow('UUID');
    expect(() => formatToken('fab', ID, Buffer.alloc(31))).toThrow('32 bytes');
  });
});

describe('newSecret', () => {
  it('makes 32 bytes that differ each time', () => {
    expect(newSecret()).toHaveLength(32);
    expect(newSecret()).not.toEqual(newSecret());
  });
});
