import { createHash, sign } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { DomainError } from '../common/errors/domain-error.js';
import { parseStrictJson } from '../common/http/strict-json.js';
import {
  Envelope,
  MANIFEST_TYPE,
  payloadOf,
  preAuthenticationEncoding,
} from '../modules/releases/envelope.js';
import { readManifest } from '../modules/releases/manifest.js';
import type { ReleaseManifest } from '../modules/releases/manifest.schema.js';
import { Failure } from './failure.js';
import type { SigningPair } from './key-files.js';

/** @throws Failure when the file is no envelope */
export async function readEnvelope(path: string): Promise<Envelope> {
  const bytes = await readFile(path);
  try {
    return Envelope.parse(parseStrictJson(bytes));
  } catch (cause) {
    throw new Failure(`${path} is no DSSE envelope: ${(cause as Error).message}`, { cause });
  }
}

/** One member a line, so that people and simple tools can read it. */
export async function writeEnvelope(path: string, envelope: Envelope): Promise<void> {
  await writeFile(path, `${JSON.stringify(envelope, null, 2)}\n`);
}

/** An envelope without signatures around a manifest, which is checked as the service will check it. @throws Failure */
export function envelopeAround(manifest: unknown): Envelope {
  const payload = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  manifestIn(payload);
  return { payloadType: MANIFEST_TYPE, payload: payload.toString('base64'), signatures: [] };
}

/** What is signed, read and checked. @throws Failure with every fault */
export function manifestOf(envelope: Envelope): ReleaseManifest {
  if (envelope.payloadType !== MANIFEST_TYPE)
    throw new Failure(`the payload is ${envelope.payloadType}, no manifest`);
  return manifestIn(payloadOf(envelope));
}

/** SHA-256 of the payload: what the service shows as `manifestSha256`. */
export function payloadDigest(envelope: Envelope): string {
  return createHash('sha256').update(payloadOf(envelope)).digest('hex');
}

/** The envelope with one more signature, or with a newer one by the same key. */
export function signedBy(envelope: Envelope, { privateKey, publicKey }: SigningPair): Envelope {
  const signed = preAuthenticationEncoding(envelope.payloadType, payloadOf(envelope));
  const digest = publicKey.alg === 'EdDSA' ? null : 'sha256';
  const keyid = publicKey.thumbprint;
  const signature = { keyid, sig: sign(digest, signed, privateKey).toString('base64') };
  const others = envelope.signatures.filter((each) => each.keyid !== keyid);
  return { ...envelope, signatures: [...others, signature] };
}

function manifestIn(payload: Buffer): ReleaseManifest {
  try {
    return readManifest(payload, Number.MAX_SAFE_INTEGER);
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    const faults = (error.details.errors ?? []).map((fault) =>
      'pointer' in fault ? `${fault.pointer}: ${fault.message}` : fault.message,
    );
    throw new Failure(`the manifest is not one: ${faults.join('; ') || error.message}`, { cause: error });
  }
}
