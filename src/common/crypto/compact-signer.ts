import { type KeyObject, sign } from 'node:crypto';

/** Makes the compact JWS of a payload. */
export type CompactSigner = (payload: string) => string;

const base64url = (text: string): string => Buffer.from(text).toString('base64url');

/** The first part of each JWS. @param header beside `alg` */
export function encodedHeader(header: Readonly<Record<string, string>>): string {
  return base64url(JSON.stringify({ alg: 'EdDSA', ...header }));
}

/**
 * Makes compact JWS by an Ed25519 key (RFC 7515, RFC 8037). For what is signed by the thousand: a general library wraps
 * keys, headers and bytes for each signature. What it makes is verified with one.
 * @param header beside `alg`
 */
export function compactSigner(key: KeyObject, header: Readonly<Record<string, string>>): CompactSigner {
  const head = encodedHeader(header);
  return (payload) => {
    const input = `${head}.${base64url(payload)}`;
    return `${input}.${sign(null, Buffer.from(input, 'latin1'), key).toString('base64url')}`;
  };
}
