import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type EnvelopeFailure, MasterKeyring, type SealContext, sealedKeyId } from './envelope.js';

const keyText = (byte: number) => Buffer.alloc(32, byte).toString('base64url');
const ring = new MasterKeyring(keyText(1));
const context: SealContext = { purpose: 'cluster_ca_key', clusterId: 'c1' };
const secret = Buffer.from('private key');
const sealed = ring.seal(secret, context);
const fails = (reason: EnvelopeFailure) => expect.objectContaining({ name: 'EnvelopeError', reason });

describe('MasterKeyring', () => {
  it('opens what it sealed, whatever the bytes and the context', () => {
    const word = fc.string({ unit: 'grapheme' });
    const contexts = fc.record({ purpose: word, clusterId: fc.option(word, { nil: undefined }), row: word });
    fc.assert(
      fc.property(fc.uint8Array(), contexts, (bytes, bound) => {
        const plaintext = Buffer.from(bytes);
        expect(ring.open(ring.seal(plaintext, bound), bound)).toEqual(plaintext);
      }),
    );
  });

  it('seals the same value differently each time', () => {
    expect(ring.seal(secret, context)).not.toEqual(sealed);
  });

  it('notices any one flipped bit', () => {
    fc.assert(
      fc.property(fc.nat(sealed.length * 8 - 1), (bit) => {
        const flipped = Buffer.from(sealed);
        const byte = bit >> 3;
        flipped[byte] = (flipped[byte] ?? 0) ^ (1 << (bit & 7));
        const inKeyId = byte >= 1 && byte <= 8;
        expect(() => ring.open(flipped, context)).toThrow(fails(inKeyId ? 'unknown_key' : 'tampered'));
      }),
    );
  });

  it.each<[string, Buffer, SealContext, EnvelopeFailure]>([
    ['another purpose', sealed, { ...context, purpose: 'snapshot_key' }, 'tampered'],
    ['another cluster', sealed, { ...context, clusterId: 'c2' }, 'tampered'],
    ['no cluster', sealed, { purpose: 'cluster_ca_key' }, 'tampered'],
    ['a part too many', sealed, { ...context, row: '1' }, 'tampered'],
    ['a cut value', sealed.subarray(0, -1), context, 'tampered'],
    ['a value shorter than its frame', sealed.subarray(0, 30), context, 'tampered'],
    ['nothing', Buffer.alloc(0), context, 'tampered'],
    ['a value of another key', new MasterKeyring(keyText(2)).seal(secret, context), context, 'unknown_key'],
  ])('does not open with %s', (_, bytes, bound, reason) => {
    expect(() => ring.open(bytes, bound)).toThrow(fails(reason));
  });

  it('treats an undefined part of the context as absent', () => {
    expect(ring.open(sealed, { row: undefined, clusterId: 'c1', purpose: 'cluster_ca_key' })).toEqual(secret);
  });

  describe('after a change of the key', () => {
    const next = new MasterKeyring(keyText(2), [keyText(1)]);

    it('opens what the previous key sealed, and seals under the current one', () => {
      expect(next.open(sealed, context)).toEqual(secret);
      expect(sealedKeyId(sealed)).toBe(ring.keyId);
      expect(sealedKeyId(next.seal(secret, context))).toBe(next.keyId);
    });

    it('knows both keys by id, and no other', () => {
      expect([next.keyId, ring.keyId].map((id) => next.hasKey(id))).toEqual([true, true]);
      expect(ring.hasKey(next.keyId)).toBe(false);
    });

    it('derives the purpose keys of both, the current one first', () => {
      expect(next.purposeKeys('token')).toEqual([next.purposeKey('token'), ring.purposeKey('token')]);
    });

    it('counts a key named twice once', () => {
      expect(new MasterKeyring(keyText(1), [keyText(1)]).purposeKeys('token')).toHaveLength(1);
    });
  });

  it('derives keys that differ by purpose and stay the same', () => {
    expect(ring.purposeKey('a')).toHaveLength(32);
    expect(ring.purposeKey('a')).toEqual(new MasterKeyring(keyText(1)).purposeKey('a'));
    expect(ring.purposeKey('a')).not.toEqual(ring.purposeKey('b'));
  });

  it('keeps its derivation for good, since stored values depend on it', () => {
    expect([ring.keyId, ring.purposeKey('token').toString('hex')]).toEqual([
      '0f2de5bf2b6edebc',
      '1cf0a27f4e68f89403ec5576383b1cf1b576821a7c9ca54bf64d2717e833c7d6',
    ]);
  });

  it('opens a value sealed by the first version of this code', () => {
    const stored = Buffer.from(
      'AQ8t5b8rbt681YJtJz-sN7bhnN_lb3yITHKFEozGTvV2eka7Dcdh2GwXwK95xrkJ',
      'base64url',
    );
    expect(ring.open(stored, context)).toEqual(secret);
  });

  it.each<[string, string]>([
    ['nothing', ''],
    ['31 bytes', Buffer.alloc(31).toString('base64url')],
    ['33 bytes', Buffer.alloc(33).toString('base64url')],
    ['standard base64', `+/${keyText(1).slice(2)}`],
    ['hexadecimal', Buffer.alloc(32).toString('hex')],
  ])('refuses a key of %s and does not quote it', (_, text) => {
    expect(() => new MasterKeyring(text)).toThrow(/^FABRIC_MASTER_KEY must be base64url of exactly 32 bytes/);
    expect(() => new MasterKeyring(keyText(1), [text])).toThrow(/^FABRIC_MASTER_KEY_PREVIOUS must be/);
  });
});
