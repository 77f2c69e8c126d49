import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CursorCodec } from './cursor.js';

const codec = new CursorCodec(Buffer.alloc(32, 1));
const value = fc.oneof(fc.string({ unit: 'grapheme' }), fc.integer(), fc.constant(null));
const values = fc.array(value, { maxLength: 4 });

const invalidCursor = expect.objectContaining({
  kind: 'malformed',
  code: 'invalid_cursor',
  details: { errors: [{ parameter: 'cursor', message: expect.any(String) }] },
});

describe('CursorCodec', () => {
  it('gives back what it was given, as one URL-safe word', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), values, (kind, filters, input) => {
        const cursor = codec.encode(kind, filters, input);
        expect(cursor).toMatch(/^[A-Za-z0-9_-]+$/);
        expect(codec.decode(kind, filters, cursor)).toEqual(input);
      }),
    );
  });

  it('makes the same cursor on every instance with the same key', () => {
    const other = new CursorCodec(Buffer.alloc(32, 1));
    expect(other.encode('clusters', 'f', ['a', 1])).toBe(codec.encode('clusters', 'f', ['a', 1]));
  });

  it('refuses a cursor of another list, other filters or another key', () => {
    const cursor = codec.encode('clusters', 'f1', ['x']);
    expect(() => codec.decode('nodes', 'f1', cursor)).toThrow(invalidCursor);
    expect(() => codec.decode('clusters', 'f2', cursor)).toThrow(invalidCursor);
    expect(() => new CursorCodec(randomBytes(32)).decode('clusters', 'f1', cursor)).toThrow(invalidCursor);
  });

  it('keeps kind and filters apart', () => {
    const cursor = codec.encode('a', 'b', []);
    expect(() => codec.decode('ab', '', cursor)).toThrow(invalidCursor);
    expect(() => codec.decode('a","b', '', cursor)).toThrow(invalidCursor);
  });

  it('refuses a cursor with any one character changed', () => {
    const cursor = codec.encode('clusters', 'f', ['2026-01-01T00:00:00.000Z', 'id']);
    const other = fc.constantFrom(...'ABab01_-=+/ ');
    fc.assert(
      fc.property(fc.nat(cursor.length - 1), other, (at, character) => {
        fc.pre(cursor[at] !== character);
        const changed = cursor.slice(0, at) + character + cursor.slice(at + 1);
        expect(() => codec.decode('clusters', 'f', changed)).toThrow(invalidCursor);
      }),
    );
  });

  it.each<[string, string]>([
    ['an empty one', ''],
    ['a short one', 'AAAA'],
    ['an overlong one', 'A'.repeat(100_000)],
    ['one with padding', `${codec.encode('clusters', 'f', [])}=`],
    ['text', 'not a cursor'],
  ])('refuses %s', (_, cursor) => {
    expect(() => codec.decode('clusters', 'f', cursor)).toThrow(invalidCursor);
  });

  it('refuses to write a number that it could not read back', () => {
    expect(() => codec.encode('clusters', 'f', [Number.NaN])).toThrow('finite');
  });
});
