import { type KeyObject, verify } from 'node:crypto';
import { isObject, isText } from '../json-values.js';
import {
  type ContentId,
  parseManifest,
  type ReleaseArtifact,
  type ReleaseManifest,
} from './release-manifest.js';
import type { ProductPin } from './release-pins.js';
import { parseUnambiguous } from './unambiguous-json.js';

/** The only payload that this agent installs from. */
const MANIFEST_TYPE = 'application/vnd.rap.release-manifest.v1+json';
const MAX_PAYLOAD_BYTES = 1024 * 1024;
const MAX_SIGNATURES = 64;
const P1363_LENGTH = 64;
const STANDARD = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;
const URL_SAFE = /^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2}(?:==)?|[A-Za-z0-9_-]{3}=?)?$/;

/** The release must not be installed, whoever asks for it again. The message is for people. */
export class ReleaseRefused extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ReleaseRefused';
  }
}

/** What the control plane says is to be installed. */
export interface ToldRelease {
  product: string;
  version: string;
  /** Of this host, not of the control plane's memory of it. */
  os: string;
  arch: string;
  artifact: ContentId;
}

/** A release that the pinned keys stand for, and its file for this host. */
export interface VerifiedRelease {
  manifest: ReleaseManifest;
  artifact: ReleaseArtifact;
}

/**
 * Holds a DSSE envelope against the keys that this host has pinned and against what it was told. Signatures first: what
 * nobody has signed is not even read.
 * @throws ReleaseRefused
 */
export function verifyRelease(envelope: unknown, pin: ProductPin, told: ToldRelease): VerifiedRelease {
  const { payload, type, signatures } = partsOf(envelope);
  if (type !== MANIFEST_TYPE) throw new ReleaseRefused(`the envelope holds "${type}", which is no manifest`);
  assertSigned(preAuthenticationEncoding(type, payload), signatures, pin);
  const manifest = readManifest(payload);
  if (manifest.product !== told.product || manifest.version !== told.version) {
    const { product, version } = manifest;
    throw new ReleaseRefused(
      `the manifest is of ${product} ${version}, not of ${told.product} ${told.version}`,
    );
  }
  const artifact = manifest.artifacts.find(({ os, arch }) => os === told.os && arch === told.arch);
  if (artifact === undefined) throw new ReleaseRefused(`the release has no file for ${told.os}/${told.arch}`);
  if (artifact.sha256 !== told.artifact.sha256 || artifact.size !== told.artifact.size)
    throw new ReleaseRefused('the file to be installed is not the one that the manifest names');
  assertSizes(manifest, artifact, pin);
  return { manifest, artifact };
}

/** Signatures by others say nothing; one in the name of a pinned key that is not its own is an attack, or damage. */
function assertSigned(
  signed: Buffer,
  signatures: readonly Signature[],
  { keys, threshold }: ProductPin,
): void {
  const pinned = new Map(keys.map(({ keyId, key }) => [keyId, key]));
  const signers = new Set<string>();
  for (const { keyId, signature } of signatures) {
    const key = pinned.get(keyId);
    if (key === undefined) continue;
    if (!isSignature(key, signed, signature))
      throw new ReleaseRefused(`the signature in the name of key ${keyId} is not by that key`);
    signers.add(keyId);
  }
  if (signers.size < threshold)
    throw new ReleaseRefused(`${signers.size} of the keys pinned here have signed, ${threshold} must have`);
}

interface Signature {
  keyId: string;
  signature: Buffer;
}

function partsOf(envelope: unknown): { type: string; payload: Buffer; signatures: Signature[] } {
  if (!isObject(envelope)) throw new ReleaseRefused('there is no envelope');
  const { payloadType, payload, signatures } = envelope;
  const bytes = decoded(payload);
  if (!isText(payloadType) || bytes === null || !Array.isArray(signatures))
    throw new ReleaseRefused('the envelope cannot be read');
  if (bytes.length > MAX_PAYLOAD_BYTES || signatures.length > MAX_SIGNATURES)
    throw new ReleaseRefused('the envelope is too large');
  const read = signatures.map((each: unknown): Signature => {
    const signature = isObject(each) ? decoded(each.sig) : null;
    if (!isObject(each) || typeof each.keyid !== 'string' || signature === null)
      throw new ReleaseRefused('the envelope has a signature that cannot be read');
    return { keyId: each.keyid, signature };
  });
  return { type: payloadType, payload: bytes, signatures: read };
}

/** DSSE takes both alphabets of base64; null for what is in neither. */
function decoded(value: unknown): Buffer | null {
  if (!isText(value)) return null;
  if (STANDARD.test(value)) return Buffer.from(value, 'base64');
  return URL_SAFE.test(value) ? Buffer.from(value, 'base64url') : null;
}

/** What DSSE signs: nobody can take a signature over one type for another. */
function preAuthenticationEncoding(type: string, payload: Buffer): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.length} `;
  return Buffer.concat([Buffer.from(head), payload]);
}

function isSignature(key: KeyObject, signed: Buffer, signature: Buffer): boolean {
  if (key.asymmetricKeyType === 'ed25519') return verify(null, signed, key, signature);
  // DER, as openssl writes it; or the two numbers side by side, as JOSE does.
  return (
    verify('sha256', signed, { key, dsaEncoding: 'der' }, signature) ||
    (signature.length === P1363_LENGTH &&
      verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, signature))
  );
}

function readManifest(payload: Buffer): ReleaseManifest {
  try {
    return parseManifest(parseUnambiguous(payload));
  } catch (error) {
    throw new ReleaseRefused(`the manifest cannot be used: ${(error as Error).message}`);
  }
}

/** Before anything is downloaded: what is signed may still be too much for this host. */
function assertSizes(manifest: ReleaseManifest, artifact: ReleaseArtifact, { maxBytes }: ProductPin): void {
  const sizes = [artifact.size, ...manifest.migrations.map(({ bundle }) => bundle.size)];
  if (sizes.reduce((sum, size) => sum + size, 0) > maxBytes)
    throw new ReleaseRefused(
      `the files of the release have more than the ${maxBytes} bytes that this host takes`,
    );
}
