import type { NodeKey } from '../nodes/node-key.js';
import { type ProofClaimsFault, proofClaimsFault } from '../nodes/proof-claims.js';
import { signedClaims } from '../nodes/signed-claims.js';

/** A host proof is carried by hand from the host to the reviewer; an hour is long enough for that. */
export const HOST_PROOF_SECONDS = 3_600;
/** How far the host's clock may be ahead. */
const MAX_AHEAD_SECONDS = 60;

/** A key by which the host is known in one cluster. */
export interface HostKey {
  clusterId: string;
  key: NodeKey;
}

/** What a host proof has to fit. */
export interface HostProofRule {
  joinRequestId: string;
  /** RFC 7638 thumbprint of the key that asks to join. */
  keyThumbprint: string;
  /** The keys by which the host is known now, in other clusters. */
  hostKeys: readonly HostKey[];
  acceptsAudience(aud: string | readonly string[] | undefined): boolean;
  now: Date;
}

/** Which key signed a proof that holds, its id, and until when that is to be remembered. */
export interface HeldHostProof {
  signer: HostKey;
  jti: string;
  rememberUntil: Date;
}

/** What is wrong with a host proof; `audience` and `time` can be mended by whoever makes it. */
export type HostProofFault = ProofClaimsFault | { fault: 'signature'; detail: string };

/**
 * Checks that the holder of a key by which the host is known already means this very request: a compact JWS over
 * `{ aud, iat, jti, joinRequestId, keyThumbprint }`. See docs/adr/0010.
 */
export async function checkHostProof(
  proof: string,
  { joinRequestId, keyThumbprint, hostKeys, acceptsAudience, now }: HostProofRule,
): Promise<HeldHostProof | HostProofFault> {
  const signed = await signedByOneOf(proof, hostKeys);
  if (signed === null)
    return { fault: 'signature', detail: 'It is not signed by a key that the node has in another cluster.' };
  const { claims, signer } = signed;
  const window = { maxAgeSeconds: HOST_PROOF_SECONDS, maxAheadSeconds: MAX_AHEAD_SECONDS };
  const fault = proofClaimsFault(claims, { acceptsAudience, now, ...window });
  if (fault !== null) return fault;
  if (claims.joinRequestId !== joinRequestId)
    return { fault: 'claims', detail: 'joinRequestId is not that of this request.' };
  if (claims.keyThumbprint !== keyThumbprint)
    return { fault: 'claims', detail: 'keyThumbprint is not that of the key of this request.' };
  const rememberUntil = new Date((Number(claims.iat) + HOST_PROOF_SECONDS) * 1000);
  return { signer, jti: String(claims.jti), rememberUntil };
}

async function signedByOneOf(
  proof: string,
  hostKeys: readonly HostKey[],
): Promise<{ claims: Record<string, unknown>; signer: HostKey } | null> {
  for (const signer of hostKeys) {
    const claims = await signedClaims(proof, signer.key);
    if (claims !== null) return { claims, signer };
  }
  return null;
}
