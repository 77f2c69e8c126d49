import { describe, expect, it } from '@jest/globals';
import { keyedHash, keyedHashMatches } from './keyed-hash.js';

const current = Buffer.alloc(32, 1);
const previous = Buffer.alloc(32, 2);

describe('keyedHash', () => {
  it('is HMAC-SHA-256', () => {
    const hash = keyedHash(Buffer.from('Jefe'), 'what do ya want for nothing?'); // RFC 4231 test case 2
    expect(hash.toString('hex')).toBe('5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843');
  });
});

describe('keyedHashMatches', () => {
  it.each<[string, Buffer[], string, Buffer, boolean]>([
    ['the current key', [current, previous], 'a', keyedHash(current, 'a'), true],
    ['the previous key', [current, previous], 'a', keyedHash(previous, 'a'), true],
    ['a key no longer known', [current], 'a', keyedHash(previous, 'a'), false],
    ['another text', [current], 'b', keyedHash(current, 'a'), false],
    ['a shorter hash', [current], 'a', keyedHash(current, 'a').subarray(0, 16), false],
    ['no keys', [], 'a', keyedHash(current, 'a'), false],
  ])('%s', (_, keys, text, hash, matches) => expect(keyedHashMatches(keys, text, hash)).toBe(matches));
});
