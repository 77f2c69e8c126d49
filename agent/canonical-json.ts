import canonicalize from 'canonicalize';

// The package is CommonJS and exports the function itself, while its types declare a `default` member.
const serialize = canonicalize as unknown as (value: unknown) => string | undefined;

/** RFC 8785 form of a JSON value: what both sides hash, however it was spelled on the wire. */
export function canonicalJson(value: object): string {
  return serialize(value) ?? '';
}
