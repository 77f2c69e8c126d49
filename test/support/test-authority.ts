import { type KeyObject, sign } from 'node:crypto';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { newKeyPair } from '../../src/common/crypto/new-key-pair.js';
import { newSerial } from '../../src/modules/trust/certificate.js';
import { type CrlInput, type LeafInput, makeCrl, makeLeaf, makeRoot } from '../../src/modules/trust/x509.js';

const HOUR_MS = 3_600_000;
const hours = (after: number): Date => new Date(Math.floor(Date.now() / 1_000) * 1_000 + after * HOUR_MS);

/** An authority as the service makes it, with its key at hand. */
export class TestAuthority {
  private constructor(
    readonly clusterId: string,
    readonly kid: string,
    readonly certificate: string,
    private readonly privateKey: KeyObject,
  ) {}

  /** @param validHours from when until when it is good, from now */
  static async make(clusterId: string, [from, to]: [number, number] = [-1, 24]): Promise<TestAuthority> {
    const { publicKey, privateKey } = newKeyPair('p256');
    const kid = await calculateJwkThumbprint(publicKey.export({ format: 'jwk' }) as JWK);
    const validity = { notBefore: hours(from), notAfter: hours(to) };
    const root = { clusterId, kid, serial: newSerial(), publicKey, ...validity };
    return new TestAuthority(clusterId, kid, await makeRoot(root, signBy(privateKey)), privateKey);
  }

  /** A certificate over this key. */
  leaf(publicKey: KeyObject, nodeId: string, change: Partial<LeafInput> = {}): Promise<string> {
    const input = {
      clusterId: this.clusterId,
      nodeId,
      serial: newSerial(),
      publicKey,
      issuer: this.certificate,
      crlUrl: 'http://127.0.0.1/crl',
      notBefore: hours(-1),
      notAfter: hours(12),
      ...change,
    };
    return makeLeaf(input, signBy(this.privateKey));
  }

  /** A revocation list of this epoch. */
  list(number: number, change: Partial<CrlInput> = {}): Promise<Buffer> {
    const issue = { issuer: this.certificate, thisUpdate: hours(0), nextUpdate: hours(24) };
    return makeCrl({ ...issue, number, revoked: [], ...change }, signBy(this.privateKey));
  }
}

/** An instant this many hours from now, in whole seconds. */
export const inHours = hours;

function signBy(key: KeyObject): (tbs: Uint8Array) => Promise<Buffer> {
  return async (tbs) => sign('sha256', tbs, { key, dsaEncoding: 'ieee-p1363' });
}
