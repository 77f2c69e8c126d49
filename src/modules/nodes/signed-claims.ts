import { compactVerify, errors } from 'jose';
import { DomainError } from '../../common/errors/domain-error.js';
import { parseStrictJson } from '../../common/http/strict-json.js';
import type { NodeKey } from './node-key.js';

/** The claims of a compact JWS when `key` signed them, with the one algorithm that fits the key; null otherwise. */
export async function signedClaims(
  jws: string,
  { key, alg }: NodeKey,
): Promise<Record<string, unknown> | null> {
  try {
    const { payload } = await compactVerify(jws, key, { algorithms: [alg] });
    const claims = parseStrictJson(Buffer.from(payload));
    return typeof claims === 'object' && claims !== null ? (claims as Record<string, unknown>) : null;
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof DomainError || error instanceof TypeError)
      return null;
    throw error;
  }
}
