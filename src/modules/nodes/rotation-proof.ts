import { compactVerify, errors } from 'jose';
import type { NodeKey } from './node-key.js';
import { signedClaims } from './signed-claims.js';

/** How far `iat` may be off the time of the service. A replayed proof changes nothing, so this only bounds its use. */
export const MAX_ROTATION_PROOF_SKEW_SECONDS = 300;
const MAX_JTI_LENGTH = 256;

/** What the claims of a rotation must say. */
export interface RotationRule {
  nodeId: string;
  clusterId: string;
  newKey: NodeKey;
  acceptsAudience(aud: string | readonly string[] | undefined): boolean;
  now: Date;
}

/** What is wrong with a proof of rotation; `audience` and `time` can be mended by the caller. */
export interface RotationFault {
  fault: 'signature' | 'claims' | 'audience' | 'time';
  detail: string;
}

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
  const { iat, jti, aud, nodeId, clusterId, newKeyThumbprint } = claims;
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI_LENGTH)
    return { fault: 'claims', detail: 'jti is missing or too long.' };
  if (typeof iat !== 'number' || !Number.isFinite(iat))
    return { fault: 'claims', detail: 'iat must be a number of seconds.' };
  if (nodeId !== rule.nodeId || clusterId !== rule.clusterId)
    return { fault: 'claims', detail: 'nodeId and clusterId must be those of the caller.' };
  if (newKeyThumbprint !== rule.newKey.thumbprint)
    return { fault: 'claims', detail: 'newKeyThumbprint is not that of newPublicKey.' };
  if (!isAudience(aud) || !rule.acceptsAudience(aud))
    return { fault: 'audience', detail: 'The audience of the proof is not this service.' };
  if (Math.abs(iat - rule.now.getTime() / 1000) > MAX_ROTATION_PROOF_SKEW_SECONDS) {
    const detail = `iat is more than ${MAX_ROTATION_PROOF_SKEW_SECONDS} s off the time of the service.`;
    return { fault: 'time', detail };
  }
  return null;
}

function isAudience(aud: unknown): aud is string | readonly string[] {
  return typeof aud === 'string' || (Array.isArray(aud) && aud.every((each) => typeof each === 'string'));
}
