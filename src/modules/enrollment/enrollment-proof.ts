import { createHash } from 'node:crypto';
import { canonicalJson } from '../../common/json/canonical-json.js';
import type { NodeKey } from '../nodes/node-key.js';
import { type ProofClaimsFault, proofClaimsFault } from '../nodes/proof-claims.js';
import { signedClaims } from '../nodes/signed-claims.js';

/** How far the node's clock may be off: a host that was just installed has no time service yet. */
export const MAX_PROOF_SKEW_SECONDS = 600;

/** What a proof of possession has to fit. */
export interface ProofRule {
  /** The key in the body; it alone decides the algorithm. */
  key: NodeKey;
  token: string;
  /** The request body as it came, `proof` included. */
  sentBody: unknown;
  acceptsAudience(aud: string | readonly string[] | undefined): boolean;
  now: Date;
}

/** Whether a proof holds: then the node's clock minus the service's, in seconds; else what is wrong with it. */
export type ProofVerdict =
  | { clockSkewSeconds: number }
  | ProofClaimsFault
  | { fault: 'signature' | 'token' | 'body'; detail: string };

/** Checks a proof of possession (API.md section 5): nothing is believed, and nothing written, before it holds. */
export async function checkProof(
  proof: string,
  { key, token, sentBody, acceptsAudience, now }: ProofRule,
): Promise<ProofVerdict> {
  const claims = await signedClaims(proof, key);
  if (claims === null)
    return { fault: 'signature', detail: `The proof is not signed by publicKey with ${key.alg}.` };
  const window = { maxAgeSeconds: MAX_PROOF_SKEW_SECONDS, maxAheadSeconds: MAX_PROOF_SKEW_SECONDS };
  const fault = proofClaimsFault(claims, { acceptsAudience, now, ...window });
  if (fault !== null) return fault;
  const { iat, tokenHash, bodyHash } = claims;
  if (tokenHash !== sha256(token)) return { fault: 'token', detail: 'tokenHash is not that of the token.' };
  if (bodyHash !== undefined && bodyHash !== bodyHashOf(sentBody)) {
    return {
      fault: 'body',
      detail:
        'bodyHash is not that of the body: something altered the body, or the proof was made for another.',
    };
  }
  return { clockSkewSeconds: Number(iat) - now.getTime() / 1000 };
}

/** What `bodyHash` covers: the whole body but the proof itself. */
export function bodyHashOf(sentBody: unknown): string {
  const { proof: _proof, ...covered } = sentBody as Record<string, unknown>;
  return sha256(canonicalJson(covered));
}

function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('base64url');
}
