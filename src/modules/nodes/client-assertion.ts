/** Claims of a client assertion (RFC 7523) as a node sends them. */
export interface AssertionClaims {
  iss?: unknown;
  sub?: unknown;
  aud?: unknown;
  jti?: unknown;
  iat?: unknown;
  exp?: unknown;
}

/** What the claims must say. */
export interface AssertionRule {
  /** Issuer and subject. */
  subject: string;
  /** Longest `exp - iat`, in seconds. */
  maxLifetimeSeconds: number;
  acceptsAudience: (aud: string | string[] | undefined) => boolean;
}

/** A fault of an assertion: `audience` and `time` can be mended by the caller, and are answered with what is right. */
export interface AssertionFault {
  fault: 'claims' | 'audience' | 'time';
  detail: string;
}

/** Skew between the clocks of node and service that is tolerated. */
export const CLOCK_SKEW_SECONDS = 60;
const MAX_JTI_LENGTH = 256;

/** What is wrong with the claims at `now`; null when nothing is. */
export function assertionFault(
  claims: AssertionClaims,
  rule: AssertionRule,
  now: Date,
): AssertionFault | null {
  const { iss, sub, aud, jti, iat, exp } = claims;
  if (iss !== rule.subject || sub !== rule.subject)
    return { fault: 'claims', detail: 'iss and sub must both be the caller.' };
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI_LENGTH)
    return { fault: 'claims', detail: 'jti is missing or too long.' };
  if (typeof iat !== 'number' || typeof exp !== 'number')
    return { fault: 'claims', detail: 'iat and exp must be numbers.' };
  if (!rule.acceptsAudience(aud as string | string[] | undefined))
    return { fault: 'audience', detail: 'The audience is not this service.' };
  if (exp <= iat || exp - iat > rule.maxLifetimeSeconds) {
    return {
      fault: 'claims',
      detail: `exp must be later than iat, by at most ${rule.maxLifetimeSeconds} s.`,
    };
  }
  const seconds = now.getTime() / 1000;
  if (iat > seconds + CLOCK_SKEW_SECONDS) return { fault: 'time', detail: 'iat is in the future.' };
  if (exp <= seconds - CLOCK_SKEW_SECONDS) return { fault: 'time', detail: 'The assertion has expired.' };
  return null;
}
