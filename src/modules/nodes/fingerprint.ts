const HEX = /^[0-9a-f]{64}$/i;
const BASE64URL = /^[A-Za-z0-9_-]{43}$/;

/** A SHA-256 as an agent sent it, in hexadecimal or base64url, as lower-case hexadecimal; null for anything else,
 *  which is the fingerprint of nothing that this service has published. */
export function readFingerprint(text: string | undefined): string | null {
  if (text === undefined) return null;
  if (HEX.test(text)) return text.toLowerCase();
  return BASE64URL.test(text) ? Buffer.from(text, 'base64url').toString('hex') : null;
}
