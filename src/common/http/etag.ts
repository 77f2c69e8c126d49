import { malformed } from '../errors/domain-error.js';
import { sha256OfJson } from '../json/canonical-json.js';

/** An entity tag as it stands in a header. */
export interface EntityTag {
  weak: boolean;
  /** What is between the quotes. */
  opaque: string;
}

/** 132 bits of SHA-256: no two contents meet, and the header stays short. */
const DIGEST_CHARACTERS = 22;
const ENTITY_TAG = /(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"/y;
const SEPARATOR = /[ \t]*(?:,[ \t]*)*/y;
const TWO_PARTS = /^([^.]+)\.[^.]+$/;

/** The strong ETag of a resource, quotes included: a digest of its content, so that it is the same on every instance
 *  and for every credential. Pass the answer's body without anything that depends on the caller or the clock.
 *  @throws TypeError when `value` is not JSON */
export function contentEtag(value: unknown): string {
  return `"${digest(value)}"`;
}

/** The ETag of a resource with observed parts, `"<config>.<observed>"`: each part a digest of its content.
 *  @param config what callers may change, and all that `If-Match` looks at; @param observed the rest */
export function twoPartEtag(config: unknown, observed: unknown): string {
  return `"${digest(config)}.${digest(observed)}"`;
}

/** Reads `If-Match` or `If-None-Match` (RFC 9110 section 8.8.3); null when the header is neither `*` nor a list. */
export function parseEntityTags(header: string): '*' | readonly EntityTag[] | null {
  const text = header.trim();
  if (text === '*') return '*';
  const tags: EntityTag[] = [];
  let at = skipSeparator(text, 0);
  while (at < text.length) {
    ENTITY_TAG.lastIndex = at;
    const match = ENTITY_TAG.exec(text);
    if (match === null) return null;
    tags.push({ weak: match[1] !== undefined, opaque: match[2] ?? '' });
    at = skipSeparator(text, ENTITY_TAG.lastIndex);
    if (at === ENTITY_TAG.lastIndex && at < text.length) return null; // two tags need a comma between them
  }
  return tags.length === 0 ? null : tags;
}

/** Whether `If-None-Match` holds the current ETag, by weak comparison: answer 304. A header that makes no sense
 *  matches nothing, since the full answer is never wrong.
 *  @param etag the current one with its quotes; null when the resource does not exist */
export function matchesIfNoneMatch(header: string, etag: string | null): boolean {
  const tags = parseEntityTags(header);
  if (etag === null || tags === null) return false;
  return tags === '*' || tags.some((tag) => tag.opaque === opaqueOf(etag));
}

/** Whether `If-Match` allows the change, by strong comparison; of a two-part ETag only the first part is compared, so
 *  that a heartbeat does not stop an operator's change. False means 412.
 *  @param etag the current one with its quotes; null when the resource does not exist
 *  @throws malformed `invalid_etag` when the header is neither `*` nor a list of entity tags: the caller meant a
 *  condition, so it is not passed over */
export function matchesIfMatch(header: string, etag: string | null): boolean {
  const tags = parseEntityTags(header);
  if (tags === null) {
    throw malformed('invalid_etag', 'If-Match must be * or a list of entity tags in double quotes.');
  }
  if (etag === null) return false;
  if (tags === '*') return true;
  const current = configPart(opaqueOf(etag));
  return tags.some((tag) => !tag.weak && configPart(tag.opaque) === current);
}

function digest(value: unknown): string {
  return sha256OfJson(value).toString('base64url').slice(0, DIGEST_CHARACTERS);
}

function opaqueOf(etag: string): string {
  return etag.replace(/^W\//, '').slice(1, -1);
}

function configPart(opaque: string): string {
  return TWO_PARTS.exec(opaque)?.[1] ?? opaque;
}

/** Past spaces and commas; a list may have empty elements. Spaces alone separate nothing. */
function skipSeparator(text: string, from: number): number {
  SEPARATOR.lastIndex = from;
  const separator = SEPARATOR.exec(text)?.[0] ?? '';
  return separator.includes(',') || from + separator.length === text.length ? from + separator.length : from;
}
