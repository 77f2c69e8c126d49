import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { decodeBase62, encodeBase62 } from './base62.js';

/** What a token is for: `fab` an API token, `fjt` a join token. */
export type TokenPrefix = 'fab' | 'fjt';

/** A token taken apart. The id finds the row, the secret proves the right to it. */
export interface ParsedToken {
  prefix: TokenPrefix;
  /** UUID, lower case. */
  id: string;
  /** 32 bytes. */
  secret: Buffer;
}

/** 256 bits: beyond guessing, so that a fast keyed hash is enough to store. */
const SECRET_BYTES = 32;
const ID_BYTES = 16;
/** Characters of base 62 that hold 16, 32 and 4 bytes. */
const ID_WIDTH = 22;
const SECRET_WIDTH = 43;
const CHECKSUM_WIDTH = 6;
const TOKEN = /^(fab|fjt)_([0-9A-Za-z]{22})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})$/;

/** A new random secret of 32 bytes. */
export function newSecret(): Buffer {
  return randomBytes(SECRET_BYTES);
}

/** The text of a token, `<prefix>_<id>_<secret><checksum>` in base 62: double-clickable, split by `_`, and with a
 *  CRC-32 of all before it, by which a scanner tells a leaked token from noise without asking anybody.
 *  @throws Error when `id` is not a UUID or the secret is not 32 bytes */
export function formatToken(prefix: TokenPrefix, id: string, secret: Buffer): string {
  const idBytes = Buffer.from(id.replaceAll('-', ''), 'hex');
  if (idBytes.length !== ID_BYTES) throw new Error('A token id must be a UUID.');
  if (secret.length !== SECRET_BYTES) throw new Error(`A token secret must be ${SECRET_BYTES} bytes.`);
  const body = `${prefix}_${encodeBase62(idBytes, ID_WIDTH)}_${encodeBase62(secret, SECRET_WIDTH)}`;
  return body + checksum(body);
}

/** Takes a token apart; null when the shape or the checksum is wrong, which says nothing about validity: anyone can
 *  make a checksum. Nothing here depends on a stored secret; compare with `keyedHashMatches`. */
export function parseToken(text: string): ParsedToken | null {
  const match = TOKEN.exec(text);
  if (match === null) return null;
  const [, prefix, idText = '', secretText = '', sum] = match;
  if (checksum(text.slice(0, -CHECKSUM_WIDTH)) !== sum) return null;
  const id = decodeBase62(idText, ID_BYTES);
  const secret = decodeBase62(secretText, SECRET_BYTES);
  if (id === null || secret === null) return null;
  return { prefix: prefix as TokenPrefix, id: uuidText(id), secret };
}

function checksum(body: string): string {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(body));
  return encodeBase62(sum, CHECKSUM_WIDTH);
}

function uuidText(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
