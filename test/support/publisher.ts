import { createHash, type KeyObject, randomBytes, sign } from 'node:crypto';
import { newKeyPair } from '../../src/common/crypto/new-key-pair.js';
import type { Answer, Api } from './api.js';
import { created, unique } from './given.js';

/** The type that a release manifest is signed as. */
export const MANIFEST_TYPE = 'application/vnd.rap.release-manifest.v1+json';

/** A key that signs releases, and its public half as it is registered. */
export interface ReleaseKey {
  keyId: string;
  privateKey: KeyObject;
  publicKey: Record<string, string>;
}

/** A file of a release, with its bytes. */
export interface TestFile {
  bytes: Buffer;
  sha256: string;
  size: number;
}

/** A DSSE envelope as a test sends it. */
export interface TestEnvelope {
  payloadType: string;
  payload: string;
  signatures: { keyid: string; sig: string }[];
}

export function releaseKey(kind: 'ed25519' | 'p256' = 'ed25519'): ReleaseKey {
  const { publicKey, privateKey } = newKeyPair(kind);
  return keyOf(privateKey, publicKey.export({ format: 'jwk' }) as Record<string, string>);
}

/** RFC 7638, written here once more: the tests must not take the service's word for it. */
function keyOf(privateKey: KeyObject, { kty = '', crv = '', x = '', y }: Record<string, string>): ReleaseKey {
  const publicKey: Record<string, string> = y === undefined ? { crv, kty, x } : { crv, kty, x, y };
  const keyId = createHash('sha256').update(JSON.stringify(publicKey)).digest('base64url');
  return { keyId, privateKey, publicKey };
}

export function testFile(bytes: Buffer = randomBytes(1000)): TestFile {
  return { bytes, sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length };
}

/** A valid manifest with one artifact for linux/x64. */
export function manifestOf(
  product: string,
  version: string,
  { sha256, size }: Pick<TestFile, 'sha256' | 'size'> = testFile(),
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  const artifact = { os: 'linux', arch: 'x64', sha256, size, mediaType: 'application/gzip' };
  return {
    schema: 'rap.release_manifest.v1',
    product,
    version,
    artifacts: [{ ...artifact, fileName: `${product}-linux-x64.tar.gz` }],
    compatibility: {},
    migrations: [],
    ...more,
  };
}

/** A migration of data from version 1 to 2 that may be undone. */
export function migrationOf(
  { sha256, size }: Pick<TestFile, 'sha256' | 'size'>,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    id: 'state-2',
    target: 'node-local',
    sourceVersion: '1',
    targetVersion: '2',
    preflight: ['free-space'],
    backupRequired: true,
    rollback: 'restore-backup',
    downgradePossible: true,
    bundle: { sha256, size },
    ...more,
  };
}

/** What DSSE signs. */
export function signedBytes(payload: Buffer, type = MANIFEST_TYPE): Buffer {
  return Buffer.concat([
    Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.length} `),
    payload,
  ]);
}

/** Signs a manifest, or a payload byte for byte. */
export function envelopeOf(
  content: Record<string, unknown> | string | Buffer,
  keys: readonly ReleaseKey[],
  type = MANIFEST_TYPE,
): TestEnvelope {
  const payload = Buffer.isBuffer(content)
    ? content
    : Buffer.from(typeof content === 'string' ? content : JSON.stringify(content));
  const signatures = keys.map(({ keyId, privateKey }) => {
    const digest = privateKey.asymmetricKeyType === 'ed25519' ? null : 'sha256';
    return { keyid: keyId, sig: sign(digest, signedBytes(payload, type), privateKey).toString('base64') };
  });
  return { payloadType: type, payload: payload.toString('base64'), signatures };
}

/** A product with keys, and its releases. */
export class Publisher {
  private constructor(
    readonly api: Api,
    readonly product: string,
    readonly keys: readonly ReleaseKey[],
  ) {}

  /** Makes a product with so many registered keys. */
  static async make(
    api: Api,
    {
      threshold = 1,
      keys = 1,
      ...input
    }: Record<string, unknown> & { threshold?: number; keys?: number } = {},
  ): Promise<Publisher> {
    const product = unique('product');
    created(
      await api.post('/products', {
        name: product,
        kind: 'workload',
        signatureThreshold: threshold,
        ...input,
      }),
    );
    const made = Array.from({ length: keys }, (_, index) => releaseKey(index % 2 === 0 ? 'ed25519' : 'p256'));
    const publisher = new Publisher(api, product, made);
    for (const key of made) created(await publisher.register(key));
    return publisher;
  }

  /** Registers a key for the product alone. */
  register({ publicKey }: ReleaseKey): Promise<Answer> {
    return this.api.post('/signing-keys', { name: unique('key'), publicKey, products: [this.product] });
  }

  /** The same by way of another client. */
  through(api: Api): Publisher {
    return new Publisher(api, this.product, this.keys);
  }

  path(version: string, rest = ''): string {
    return `/products/${this.product}/releases/${encodeURIComponent(version)}${rest}`;
  }

  send(envelope: TestEnvelope | string): Promise<Answer> {
    return this.api.post(`/products/${this.product}/releases`, envelope, {
      'content-type': 'application/json',
    });
  }

  /** Publishes a version with one artifact, signed by every key of the product. */
  async publish(
    version: string,
    file: TestFile = testFile(),
    more: Record<string, unknown> = {},
  ): Promise<TestFile> {
    created(await this.send(envelopeOf(manifestOf(this.product, version, file, more), this.keys)));
    return file;
  }

  upload(version: string, bytes: Uint8Array, system = 'linux/x64'): Promise<Answer> {
    return this.api.put(this.path(version, `/artifacts/${system}`), bytes);
  }

  /** Publishes a version, uploads its artifact and approves it. */
  async release(version: string, more: Record<string, unknown> = {}): Promise<TestFile> {
    const file = await this.publish(version, testFile(), more);
    created(await this.upload(version, file.bytes));
    created(await this.api.post(this.path(version, '/approve')));
    return file;
  }

  /** The same with a file for each of these systems (`linux/x64`), by which the files are returned. */
  async releaseFor(version: string, systems: readonly string[]): Promise<Map<string, TestFile>> {
    const files = new Map(systems.map((system) => [system, testFile()]));
    const artifacts = [...files].map(([system, { sha256, size }]) => {
      const [os, arch] = system.split('/');
      const fileName = `${this.product}-${os}-${arch}.tar.gz`;
      return { os, arch, sha256, size, mediaType: 'application/gzip', fileName };
    });
    await this.publish(version, testFile(), { artifacts });
    for (const [system, { bytes }] of files) created(await this.upload(version, bytes, system));
    created(await this.api.post(this.path(version, '/approve')));
    return files;
  }
}
