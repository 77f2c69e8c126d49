import { createHash } from 'node:crypto';
import canonicalizeModule from 'canonicalize';

// The package is CommonJS whose export is the function itself; its types claim a `default` member.
const canonicalize = canonicalizeModule as unknown as (value: unknown) => string;

const LONE_SURROGATE = /\p{Surrogate}/u;

/** The one RFC 8785 (JCS) text of a JSON value: what hashes, signatures and ETags are made over. Dates and other
 *  values with `toJSON` count as what that returns, and members that are undefined are left out, as in the answer
 *  that `JSON.stringify` would write.
 *  @throws TypeError for what JSON cannot say and JCS must not guess: undefined on its own or in an array, NaN,
 *  infinities, functions, symbols, bigints, maps and sets, lone surrogates, cycles */
export function canonicalJson(value: unknown): string {
  assertJson(value, new Set());
  return canonicalize(value);
}

/** SHA-256 over the UTF-8 of `canonicalJson(value)`: 32 bytes. */
export function sha256OfJson(value: unknown): Buffer {
  return createHash('sha256').update(canonicalJson(value)).digest();
}

function assertJson(value: unknown, ancestors: Set<object>): void {
  if (value === null || typeof value === 'boolean') return;
  if (typeof value === 'number' && Number.isFinite(value)) return;
  if (typeof value === 'string') {
    assertWellFormed(value);
    return;
  }
  if (typeof value !== 'object') throw new TypeError(`Not a JSON value: ${describe(value)}.`);
  if (ancestors.has(value)) throw new TypeError('Not a JSON value: it contains itself.');
  ancestors.add(value);
  if ('toJSON' in value && typeof value.toJSON === 'function') assertJson(value.toJSON(), ancestors);
  else if (Array.isArray(value)) for (const item of value) assertJson(item, ancestors);
  else assertMembers(value, ancestors);
  ancestors.delete(value);
}

function assertMembers(value: object, ancestors: Set<object>): void {
  if (value instanceof Map || value instanceof Set || ArrayBuffer.isView(value)) {
    throw new TypeError(`Not a JSON value: ${describe(value)}.`);
  }
  for (const [name, member] of Object.entries(value)) {
    assertWellFormed(name);
    if (member !== undefined) assertJson(member, ancestors);
  }
}

function assertWellFormed(text: string): void {
  if (LONE_SURROGATE.test(text))
    throw new TypeError('Not a JSON value: a string holds half of a surrogate pair.');
}

function describe(value: unknown): string {
  if (typeof value === 'number') return String(value);
  return typeof value === 'object' && value !== null ? value.constructor.name : typeof value;
}
