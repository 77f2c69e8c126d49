import { createHash } from 'node:crypto';
import { CompactSign, SignJWT } from 'jose';
import { v4 as uuid } from 'uuid';
import { canonicalJson } from './canonical-json.js';
import type { NodeKey } from './keys.js';

/** Short enough that a stolen assertion is soon worthless; the contract allows 60 s for enrollment. */
const LIFETIME_SECONDS = 55;

const sha256 = (text: string): string => createHash('sha256').update(text, 'utf8').digest('base64url');
const seconds = (at: Date): number => Math.floor(at.getTime() / 1_000);

/** Hash of a join token as proofs carry it, and as the state remembers which token was used. */
export function tokenHash(token: string): string {
  return sha256(token);
}

/**
 * Proof of possession for an enrollment: compact JWS over `{ jti, iat, aud, tokenHash, bodyHash }`.
 * `bodyHash` is base64url(SHA-256) of the RFC 8785 form of `body`, which is the whole request body without
 * its member `proof`, so that nothing between agent and service can alter what is asked for.
 */
export async function enrollmentProof(
  key: NodeKey,
  claims: { audience: string; token: string; body: Record<string, unknown>; now: Date },
): Promise<string> {
  const payload = {
    jti: uuid(),
    iat: seconds(claims.now),
    aud: claims.audience,
    tokenHash: tokenHash(claims.token),
    bodyHash: sha256(canonicalJson(claims.body)),
  };
  return signCompact(key, JSON.stringify(payload));
}

/** Bearer JWT with which a key asks what became of its own join request. */
export function joinRequestBearer(
  key: NodeKey,
  claims: { joinRequestId: string; audience: string; now: Date },
): Promise<string> {
  return signJwt(key, claims.joinRequestId, claims.audience, claims.now, {});
}

/**
 * Assertion that goes with a certificate request: the identity key asks for a certificate over this very CSR, so that a
 * stolen access token gets none.
 */
export function certificateAssertion(
  key: NodeKey,
  claims: { nodeId: string; clusterId: string; audience: string; csr: string; now: Date },
): Promise<string> {
  const { nodeId, clusterId, audience, csr, now } = claims;
  return signJwt(key, nodeId, audience, now, { cluster: clusterId, csrHash: sha256(csr) });
}

/**
 * Proof of rotation: the new key signs whose key it is to be, and the key that the node has signs that. Neither can be
 * taken for the other, and the proof fits no third key.
 */
export async function rotationProof(
  keys: { current: NodeKey; next: NodeKey },
  claims: { nodeId: string; clusterId: string; audience: string; now: Date },
): Promise<string> {
  const { nodeId, clusterId, audience: aud, now } = claims;
  const newKeyThumbprint = keys.next.thumbprint;
  const inner = { iat: seconds(now), jti: uuid(), aud, nodeId, clusterId, newKeyThumbprint };
  return signCompact(keys.current, await signCompact(keys.next, JSON.stringify(inner)));
}

/**
 * Proof that a host which is a member of one cluster asks to join another: the key that it has signs the thumbprint of
 * the key that asks. Carried by hand to whoever approves the join request.
 */
export function hostProof(
  key: NodeKey,
  claims: { joinRequestId: string; keyThumbprint: string; audience: string; now: Date },
): Promise<string> {
  const { joinRequestId, keyThumbprint, audience: aud, now } = claims;
  return signCompact(
    key,
    JSON.stringify({ aud, iat: seconds(now), jti: uuid(), joinRequestId, keyThumbprint }),
  );
}

/** RFC 7523 client assertion for a node token; claim `cluster` binds it to one cluster. */
export function clientAssertion(
  key: NodeKey,
  claims: { nodeId: string; clusterId: string; audience: string; now: Date },
): Promise<string> {
  return signJwt(key, claims.nodeId, claims.audience, claims.now, { cluster: claims.clusterId });
}

function signCompact(key: NodeKey, payload: string): Promise<string> {
  return new CompactSign(Buffer.from(payload)).setProtectedHeader({ alg: 'EdDSA' }).sign(key.signer);
}

function signJwt(
  key: NodeKey,
  subject: string,
  audience: string,
  now: Date,
  extra: Record<string, string>,
): Promise<string> {
  return new SignJWT(extra)
    .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT' })
    .setIssuer(subject)
    .setSubject(subject)
    .setAudience(audience)
    .setJti(uuid())
    .setIssuedAt(seconds(now))
    .setExpirationTime(seconds(now) + LIFETIME_SECONDS)
    .sign(key.signer);
}
