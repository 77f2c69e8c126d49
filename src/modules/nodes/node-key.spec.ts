import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { newKeyPair } from '../../common/crypto/new-key-pair.js';
import { readNodeKey } from './node-key.js';

const ed25519 = () => newKeyPair('ed25519').publicKey.export({ format: 'jwk' }) as Record<string, string>;
const p256 = () => newKeyPair('p256').publicKey.export({ format: 'jwk' }) as Record<string, string>;

/** The same bytes in another spelling: base64url of 32 bytes leaves two bits of its last character unused. */
function respelled(text: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = alphabet.indexOf(text.at(-1) ?? '');
  return `${text.slice(0, -1)}${alphabet[last + 1]}`;
}

describe("a node's key", () => {
  it('is an Ed25519 or P-256 key with one algorithm, known by its RFC 7638 thumbprint', async () => {
    for (const [jwk, alg] of [
      [ed25519(), 'EdDSA'],
      [p256(), 'ES256'],
    ] as const) {
      const key = readNodeKey(jwk);
      expect(key).toMatchObject({
        alg,
        thumbprint: await calculateJwkThumbprint(jwk as unknown as JWK),
        jwk,
      });
      expect(key.key.type).toBe('public');
    }
  });

  it('has the thumbprint that RFC 8037 gives its example', () => {
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' };
    expect(readNodeKey(jwk).thumbprint).toBe('kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
  });

  it('keeps nothing but what makes it', () => {
    const jwk = ed25519();
    expect(readNodeKey({ ...jwk, kid: 'mine', use: 'sig', alg: 'none', key_ops: ['verify'] }).jwk).toEqual(
      jwk,
    );
  });

  it('cannot come back as another one by another spelling', () => {
    const [okp, ec] = [ed25519(), p256()];
    for (const jwk of [
      { ...okp, x: respelled(okp.x ?? '') },
      { ...ec, x: respelled(ec.x ?? '') },
      { ...ec, y: respelled(ec.y ?? '') },
    ]) {
      expect(() => readNodeKey(jwk)).toThrow();
    }
  });

  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['a text', 'ssh-ed25519 AAAA'],
    ['an array', [ed25519()]],
    ['an empty object', {}],
    ['a private key', newKeyPair('ed25519').privateKey.export({ format: 'jwk' })],
    ['a private P-256 key', newKeyPair('p256').privateKey.export({ format: 'jwk' })],
    ['an RSA key', generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' })],
    ['an X25519 key', generateKeyPairSync('x25519').publicKey.export({ format: 'jwk' })],
    ['an Ed448 key', generateKeyPairSync('ed448').publicKey.export({ format: 'jwk' })],
    ['a P-384 key', generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' })],
    ['a shared secret', { kty: 'oct', k: 'AAAA' }],
    ['a curve of the wrong kind', { ...ed25519(), crv: 'P-256' }],
    ['a kind of the wrong curve', { ...p256(), kty: 'OKP' }],
    ['a coordinate that is too short', { ...ed25519(), x: 'AAAA' }],
    ['a coordinate that is padded', { ...ed25519(), x: `${ed25519().x}=` }],
    ['a coordinate that is no text', { ...ed25519(), x: 7 }],
    ['half a point', { ...p256(), y: undefined }],
    ['a point beside the curve', { ...p256(), y: p256().x }],
  ])('is not %s', (_, value) => expect(() => readNodeKey(value)).toThrow());
});
