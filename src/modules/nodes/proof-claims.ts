/** What is wrong with the claims of a proof; `audience` and `time` can be mended by the caller. */
export interface ProofClaimsFault {
  fault: 'claims' | 'audience' | 'time';
  detail: string;
}

/** What the claims that every proof has must fit. */
export interface ProofClaimsRule {
  acceptsAudience(aud: string | readonly string[] | undefined): boolean;
  /** How far `iat` may lie behind the time of the service, and ahead of it. */
  maxAgeSeconds: number;
  maxAheadSeconds: number;
  now: Date;
}

const MAX_JTI_LENGTH = 256;

/** What is wrong with `jti`, `iat` and `aud` of a proof by a node key; null when nothing is. */
export function proofClaimsFault(
  { jti, iat, aud }: Record<string, unknown>,
  { acceptsAudience, maxAgeSeconds, maxAheadSeconds, now }: ProofClaimsRule,
): ProofClaimsFault | null {
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI_LENGTH)
    return { fault: 'claims', detail: 'jti is missing or too long.' };
  if (typeof iat !== 'number' || !Number.isFinite(iat))
    return { fault: 'claims', detail: 'iat must be a number of seconds.' };
  if (!isAudience(aud) || !acceptsAudience(aud))
    return { fault: 'audience', detail: 'The audience of the proof is not this service.' };
  const aheadSeconds = iat - now.getTime() / 1000;
  if (aheadSeconds > maxAheadSeconds)
    return { fault: 'time', detail: `iat is more than ${maxAheadSeconds} s ahead of the service's time.` };
  if (-aheadSeconds > maxAgeSeconds)
    return { fault: 'time', detail: `iat is more than ${maxAgeSeconds} s behind the service's time.` };
  return null;
}

function isAudience(aud: unknown): aud is string | readonly string[] {
  return typeof aud === 'string' || (Array.isArray(aud) && aud.every((each) => typeof each === 'string'));
}
