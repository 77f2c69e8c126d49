import { createHash } from 'node:crypto';
import { type AssertionFault, assertionFault, CLOCK_SKEW_SECONDS } from '../nodes/client-assertion.js';
import type { NodeKey } from '../nodes/node-key.js';
import { signedClaims } from '../nodes/signed-claims.js';

const MAX_LIFETIME_SECONDS = 300;

/** What an assertion that comes with a certificate request has to fit. */
export interface CertificateAssertionRule {
  /** The identity key. */
  key: NodeKey;
  nodeId: string;
  clusterId: string;
  /** The request's text, as it was sent. */
  csr: string;
  acceptsAudience: (aud: string | string[] | undefined) => boolean;
  now: Date;
}

/** An assertion that holds: its id, and until when it has to be remembered so that it is accepted once. */
export interface HeldAssertion {
  jti: string;
  rememberUntil: Date;
}

/** Checks that the identity key asked for a certificate over this very request. */
export async function checkCertificateAssertion(
  assertion: string,
  rule: CertificateAssertionRule,
): Promise<HeldAssertion | AssertionFault> {
  const claims = await signedClaims(assertion, rule.key);
  if (claims === null) return { fault: 'claims', detail: 'It is not signed by the identity key.' };
  const fault = assertionFault(
    claims,
    {
      subject: rule.nodeId,
      maxLifetimeSeconds: MAX_LIFETIME_SECONDS,
      acceptsAudience: rule.acceptsAudience,
    },
    rule.now,
  );
  if (fault !== null) return fault;
  if (claims.cluster !== undefined && claims.cluster !== rule.clusterId)
    return { fault: 'claims', detail: 'It is for another cluster.' };
  if (claims.csrHash !== createHash('sha256').update(rule.csr).digest('base64url'))
    return { fault: 'claims', detail: 'csrHash is not that of the request.' };
  const rememberUntil = new Date((Number(claims.exp) + CLOCK_SKEW_SECONDS) * 1000);
  return { jti: String(claims.jti), rememberUntil };
}
