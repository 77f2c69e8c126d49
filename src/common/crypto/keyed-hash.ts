import { createHmac, timingSafeEqual } from 'node:crypto';

/** HMAC-SHA-256 of `text`, 32 bytes: what is stored in place of a secret. Whoever reads the database alone can neither
 *  use it nor test guesses, since the key is derived from the master key. */
export function keyedHash(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

/** Whether `expected` is the keyed hash of `text` under one of `keys`, in a time that depends on no byte of either.
 *  @param keys `MasterKeyring.purposeKeys(...)`, so that hashes from before a key change still match */
export function keyedHashMatches(keys: readonly Buffer[], text: string, expected: Uint8Array): boolean {
  let matches = false;
  for (const key of keys) {
    const hash = keyedHash(key, text);
    if (hash.length === expected.length && timingSafeEqual(hash, expected)) matches = true;
  }
  return matches;
}
