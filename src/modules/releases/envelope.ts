import { type KeyObject, verify } from 'node:crypto';
import { z } from 'zod';

/** The only payload that an envelope of this service carries. */
export const MANIFEST_TYPE = 'application/vnd.rap.release-manifest.v1+json';

const MAX_SIGNATURES = 64;
const P1363_LENGTH = 64;
const STANDARD = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;
const URL_SAFE = /^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2}(?:==)?|[A-Za-z0-9_-]{3}=?)?$/;

/** Base64 in the standard or the URL-safe alphabet, as DSSE takes both. */
const Bytes = z
  .string()
  .min(1)
  .refine((text) => STANDARD.test(text) || URL_SAFE.test(text), 'Must be base64.');

/** A DSSE envelope (https://github.com/secure-systems-lab/dsse) as it is sent. */
export const Envelope = z
  .strictObject({
    payloadType: z.string().min(1).max(255).meta({ example: MANIFEST_TYPE }),
    payload: Bytes.meta({ description: 'The manifest in base64.', example: 'eyJzY2hlbWEiOiJyYXAucmVs' }),
    signatures: z
      .array(
        z.strictObject({
          keyid: z.string().max(255).describe('RFC 7638 thumbprint of the key.'),
          sig: Bytes.meta({
            description:
              'Over the pre-authentication encoding of type and payload. Ed25519, or ECDSA with SHA-256.',
            example: 'JZr9Qm0rW3vC7yQeZ6m1nA',
          }),
        }),
      )
      .min(1)
      .max(MAX_SIGNATURES),
  })
  .meta({ id: 'ReleaseEnvelope', description: 'A DSSE envelope.' });
export type Envelope = z.infer<typeof Envelope>;

/** A key that may sign. */
export interface VerifyingKey {
  keyId: string;
  key: KeyObject;
}

/** What the signatures of an envelope come to. */
export interface Verification {
  /** Ids of the trusted keys that have signed, each once. */
  signedBy: string[];
  /** Ids of trusted keys that stand beside a signature which is not theirs. */
  forged: string[];
}

/** The payload byte for byte. */
export function payloadOf({ payload }: Pick<Envelope, 'payload'>): Buffer {
  return Buffer.from(payload, URL_SAFE.test(payload) ? 'base64url' : 'base64');
}

/** What is signed, DSSE's pre-authentication encoding: nobody can take a signature over one type for another. */
export function preAuthenticationEncoding(payloadType: string, payload: Uint8Array): Buffer {
  const type = Buffer.from(payloadType);
  return Buffer.concat([
    Buffer.from(`DSSEv1 ${type.length} `),
    type,
    Buffer.from(` ${payload.length} `),
    payload,
  ]);
}

/** Holds every signature by a trusted key against the payload; those by others say nothing. */
export function verifyEnvelope(envelope: Envelope, trusted: readonly VerifyingKey[]): Verification {
  const signed = preAuthenticationEncoding(envelope.payloadType, payloadOf(envelope));
  const keys = new Map(trusted.map(({ keyId, key }) => [keyId, key]));
  const signedBy = new Set<string>();
  const forged = new Set<string>();
  for (const { keyid, sig } of envelope.signatures) {
    const key = keys.get(keyid);
    if (key === undefined) continue;
    (isSignature(key, signed, payloadOf({ payload: sig })) ? signedBy : forged).add(keyid);
  }
  return { signedBy: [...signedBy], forged: [...forged] };
}

function isSignature(key: KeyObject, signed: Buffer, signature: Buffer): boolean {
  if (key.asymmetricKeyType === 'ed25519') return verify(null, signed, key, signature);
  // DER, as openssl and the tools of Sigstore write it; or the two numbers side by side, as JOSE does.
  return (
    verify('sha256', signed, { key, dsaEncoding: 'der' }, signature) ||
    (signature.length === P1363_LENGTH &&
      verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, signature))
  );
}
