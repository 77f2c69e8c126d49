/**
 * The points of small order of Ed25519, their sign bit cleared: 0 (order 4), 1 (order 1), the two of order 8, and p - 1
 * (order 2). Under such a key there are signatures that fit every message and need no private key.
 */
const SMALL_ORDER: readonly string[] = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
];
const FIELD_PRIME = 2n ** 255n - 19n;

/**
 * Whether these 32 bytes (RFC 8032 section 5.1.2) may be somebody's key. Neither a point of small order may, nor a
 * number that is not below the prime: that is a second spelling of another one, under another thumbprint.
 */
export function isUsableEd25519(encoded: Buffer): boolean {
  const withoutSign = Buffer.from(encoded);
  withoutSign[31] = (withoutSign[31] ?? 0) & 0x7f;
  if (SMALL_ORDER.includes(withoutSign.toString('hex'))) return false;
  return BigInt(`0x${Buffer.from(withoutSign).reverse().toString('hex')}`) < FIELD_PRIME;
}
