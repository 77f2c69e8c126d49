import { generateKeyPair, type JsonWebKey } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { parsePins, ReleasePins } from './release-pins.js';

/** Not `generateKeyPairSync`, whose keys may wait for themselves when they are exported; see `generateNodeKey`. */
const newKeyPair = promisify(generateKeyPair);
const ed25519 = async () => (await newKeyPair('ed25519')).publicKey.export({ format: 'jwk' });
const p256 = async () =>
  (await newKeyPair('ec', { namedCurve: 'prime256v1' })).publicKey.export({ format: 'jwk' });
const pins = (relay: unknown): string => JSON.stringify({ products: { relay } });
const KEY = await ed25519();
const POINT = await p256();

/** The same point with the other sign, by which its holder can sign as well. */
function mirrored(jwk: JsonWebKey): JsonWebKey {
  const prime = (1n << 256n) - (1n << 224n) + (1n << 192n) + (1n << 96n) - 1n;
  const y = BigInt(`0x${Buffer.from(jwk.y ?? '', 'base64url').toString('hex')}`);
  const hex = (prime - y).toString(16).padStart(64, '0');
  return { ...jwk, y: Buffer.from(hex, 'hex').toString('base64url') };
}

describe('the keys that a host pins', () => {
  it('are read with their threshold, for each product by itself', () => {
    const pin = parsePins(pins({ threshold: 2, keys: [KEY, POINT], maxBytes: 10 })).get('relay');
    expect(pin).toMatchObject({ threshold: 2, maxBytes: 10 });
    expect(pin?.keys).toHaveLength(2);
  });

  it.each<[string, unknown, string]>([
    ['a key twice', { keys: [KEY, { ...KEY, kid: 'another' }] }, 'would count for two'],
    ['a key and its mirror image', { threshold: 2, keys: [POINT, mirrored(POINT)] }, 'would count for two'],
    ['a private key', { keys: [{ ...KEY, d: 'AAAA' }] }, 'no public JWK'],
    ['a key of another kind', { keys: [{ kty: 'RSA', n: 'AQAB', e: 'AQAB' }] }, 'no public JWK'],
    ['no point of the curve', { keys: [{ ...POINT, y: POINT.x }] }, 'no public JWK'],
    ['more signatures than keys', { threshold: 2, keys: [KEY] }, '"threshold" must be from 1'],
    ['no signature at all', { threshold: 0, keys: [KEY] }, '"threshold" must be from 1'],
    ['no keys', {}, 'there must be "keys"'],
  ])('are refused with %s', (_, pin, reason) => {
    expect(() => parsePins(pins(pin))).toThrow(reason);
  });

  it('are not believed from a file that others can write, and are none without one', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'pins-'));
    try {
      const file = join(folder, 'release-keys.json');
      const pinned = new ReleasePins(file);
      expect(await pinned.forProduct('relay')).toBeNull();
      await writeFile(file, pins({ keys: [KEY] }), { mode: 0o600 });
      expect(await pinned.forProduct('relay')).toMatchObject({ threshold: 1 });
      expect(await pinned.forProduct('other')).toBeNull();
      await chmod(file, 0o666);
      await expect(pinned.forProduct('relay')).rejects.toThrow('can be written by others');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
