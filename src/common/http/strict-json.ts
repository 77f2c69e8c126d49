import { isUtf8 } from 'node:buffer';
import { malformed } from '../errors/domain-error.js';
import { JsonScanner } from './json-scanner.js';

/** Levels of arrays and objects that a body may nest (API.md section 1, "Limits"). */
export const MAX_JSON_DEPTH = 32;

const LONE_SURROGATE = /\p{Surrogate}/u;

/** Parses a JSON text and refuses what `JSON.parse` passes over in silence. A large integer that a double rounds is
 *  left to the schema, which knows whether the number is meant to be exact; the message never quotes the text, which
 *  may hold a secret.
 *  @throws malformed `malformed_json` (also invalid UTF-8 and a byte order mark), `json_too_deep`, `duplicate_key`,
 *  `forbidden_key` (`__proto__`), `invalid_string` (NUL, lone surrogate), `invalid_number` (overflow); each but the
 *  first names a JSON pointer, all say a position */
export function parseStrictJson(bytes: Buffer | string): unknown {
  const text = typeof bytes === 'string' ? bytes : decodeUtf8(bytes);
  const mayHoldLoneSurrogate = typeof bytes === 'string' && LONE_SURROGATE.test(bytes);
  new JsonScanner(text, MAX_JSON_DEPTH, mayHoldLoneSurrogate).scan();
  return JSON.parse(text);
}

function decodeUtf8(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  if (isUtf8(bytes)) return text;
  const repaired = Buffer.from(text); // differs first where a replacement character took the place of a bad byte
  const position = bytes.findIndex((byte, index) => byte !== repaired[index]);
  throw malformed('malformed_json', `The text is not valid UTF-8 at byte ${position}.`);
}
