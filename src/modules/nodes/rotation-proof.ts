import { compactVerify, errors } from 'jose';
import type { NodeKey } from './node-key.js';
import { type ProofClaimsFault, proofClaimsFault } from './proof-claims.js';
import { signedClaims } from './signed-claims.js';

/** How far `iat` may be off the time of the service. A replayed proof changes nothing, so this only bounds its use. */
export const MAX_ROTATION_PROOF_SKEW_SECONDS = 300;

/** What the claims of a rotation must say. */
export interface RotationRule {
  nodeId: string;
  clusterId: string;
  newKey: NodeKey;
  acceptsAudience(aud: string | readonly string[] | undefined): boolean;
  now: Date;
}

/** What is wrong with a proof of rotation; `audience` and `time` can be mended by the caller. */
export type RotationFault = ProofClaimsFault | { fault: 'signature'; detail: string };

/** The inner JWS, when `oldKey` signed the outer one around it; null otherwise. */
export async function innerProof(proof: string, oldKey: NodeKey): Promise<string | null> {
  try {
    const { payload } = await compactVerify(proof, oldKey.key, { algorithms: [oldKey.alg] });
    return new TextDecoder('utf-8', { fatal: true }).decode(payload);
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) return null;
    throw error;
  }
}

/** What is wrong with the inner JWS, whose outer one holds; null when nothing is. See docs/adr/0006. */
export async function innerFault(inner: string, rule: RotationRule): Promise<RotationFault | null> {
  const claims = await signedClaims(inner, rule.newKey);
  if (claims === null)
    return {
      fault: 'signature',
      detail: `The inner JWS is not signed by newPublicKey with ${rule.newKey.alg}.`,
    };
  const { acceptsAudience, now, newKey } = rule;
  const window = {
    maxAgeSeconds: MAX_ROTATION_PROOF_SKEW_SECONDS,
    maxAheadSeconds: MAX_ROTATION_PROOF_SKEW_SECONDS,
  };
  const fault = proofClaimsFault(claims, { acceptsAudience, now, ...window });
  if (fault !== null) return fault;
  if (claims.nodeId !== rule.nodeId || claims.clusterId !== rule.clusterId)
    return { fault: 'claims', detail: 'nodeId and clusterId must be those of the caller.' };
  if (claims.newKeyThumbprint !== newKey.thumbprint)
    return { fault: 'claims', detail: 'newKeyThumbprint is not that of newPublicKey.' };
  return null;
}
