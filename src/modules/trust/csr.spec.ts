// The certificate library resolves its parts by decorators' metadata.
import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Pkcs10CertificateRequestGenerator } from '@peculiar/x509';
import fc from 'fast-check';
import { newKeyPair } from '../../common/crypto/new-key-pair.js';
import { DomainError } from '../../common/errors/domain-error.js';
import { readNodeKey } from '../nodes/node-key.js';
import { readCsr } from './csr.js';

const P256 = { name: 'ECDSA', namedCurve: 'P-256' };

async function csr(hash = 'SHA-256') {
  const keys = await crypto.subtle.generateKey(P256, true, ['sign', 'verify']);
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: 'CN=whatever',
    keys,
    signingAlgorithm: { name: 'ECDSA', hash },
  });
  const jwk = await crypto.subtle.exportKey('jwk', keys.publicKey);
  return { pem: request.toString('pem'), der: Buffer.from(request.rawData), jwk };
}

const asPem = (der: Buffer) =>
  `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----`;

/** The code with which it is refused; null when it is not. */
function refusal(text: string): string | null {
  try {
    readCsr(text);
    return null;
  } catch (error) {
    if (error instanceof DomainError) return error.code;
    throw error;
  }
}

describe('a certificate request', () => {
  it.each(['SHA-256', 'SHA-384', 'SHA-512'])(
    'signed with %s gives its key and nothing else',
    async (hash) => {
      const { pem, jwk } = await csr(hash);
      const { key, thumbprint } = readCsr(pem);
      expect(thumbprint).toBe(readNodeKey(jwk).thumbprint);
      expect(key.export({ format: 'jwk' })).toMatchObject({ crv: 'P-256', x: jwk.x, y: jwk.y });
    },
  );

  it('signed with SHA-1 is refused', async () => {
    expect(refusal((await csr('SHA-1')).pem)).toBe('csr_invalid');
  });

  it('is refused in one way however a byte of it is changed', async () => {
    const { der } = await csr();
    fc.assert(
      fc.property(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
        const spoiled = Buffer.from(der);
        spoiled.writeUInt8(spoiled.readUInt8(at) ^ bits, at);
        expect(refusal(asPem(spoiled))).toBe('csr_invalid');
      }),
      { numRuns: 300, examples: [[122, 128]] },
    );
  });

  it('is refused in one way whatever stands in its place', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(refusal(asPem(Buffer.from(bytes)))).toBe('csr_invalid');
      }),
    );
    const { publicKey } = newKeyPair('ed25519');
    expect(refusal(publicKey.export({ format: 'pem', type: 'spki' }).toString())).toBe('csr_invalid');
  });
});
