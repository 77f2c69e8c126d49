import { DER, der } from './der.js';

/** Object identifier of the extension (RFC 5280 section 4.2.1.10). */
export const NAME_CONSTRAINTS_OID = '2.5.29.30';

/** Context tags of GeneralName. */
const [EMAIL, DNS, URI, IP] = [0x81, 0x82, 0x86, 0x87];
const [PERMITTED, EXCLUDED] = [0xa0, 0xa1];
/** A top-level domain that never exists (RFC 6761): permitting it alone permits no name of its kind. */
const NOBODY = 'invalid';

/**
 * The name constraints of a cluster's authority: it can name the nodes of its own trust domain and nothing else, so
 * that a stolen authority is worthless as one for host names, mail or addresses, and in every other cluster. A URI is
 * compared by its host, which in a SPIFFE id is the trust domain. Host names and mail are closed by permitting a
 * domain that cannot exist, since not every verifier takes an empty name as "all of them".
 */
export function nameConstraints(trustDomain: string): Buffer {
  const subtree = (tag: number, base: Uint8Array) => der(DER.sequence, der(tag, base));
  const anyIpv4 = Buffer.alloc(8);
  const anyIpv6 = Buffer.alloc(32);
  return der(
    DER.sequence,
    der(
      PERMITTED,
      subtree(URI, Buffer.from(trustDomain)),
      subtree(DNS, Buffer.from(NOBODY)),
      subtree(EMAIL, Buffer.from(NOBODY)),
    ),
    der(EXCLUDED, subtree(IP, anyIpv4), subtree(IP, anyIpv6)),
  );
}
