import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../atomic-file.js';
import { AgentFailure, EXIT } from '../exit.js';
import { isCount, isObject, isText } from '../json-values.js';
import { readTrustedFile } from '../trusted-file.js';

/** In the state directory. */
export const RELEASE_KEYS_FILE = 'release-keys.json';

/** A key that may sign releases of a product. */
export interface PinnedKey {
  /** RFC 7638 thumbprint, computed and never believed. */
  keyId: string;
  key: KeyObject;
}

/** Who may bring a product onto this host. */
export interface ProductPin {
  keys: readonly PinnedKey[];
  /** So many of them must have signed. */
  threshold: number;
  /** Nothing larger is downloaded, and nothing that unpacks to more is kept. */
  maxBytes: number;
}

/** As much as the control plane takes unless it is told otherwise. */
const DEFAULT_MAX_BYTES = 2 * 1024 ** 3;
const MAX_KEYS = 64;
/** As the control plane names products; it names folders here. */
export const PRODUCT_NAME = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;

/**
 * Whose releases this host runs, by product: the host's own word. It never comes from the control plane, so that
 * whoever takes that over cannot bring code of their own.
 */
export class ReleasePins {
  constructor(private readonly file: string) {}

  /** What to do where there are none. */
  get advice(): string {
    return `put them into ${this.file}, or give them by --release-keys`;
  }

  /** Reads anew each time, so that what the host's operator changes counts. @throws Error that says what is wrong */
  async forProduct(product: string): Promise<ProductPin | null> {
    const text = await readTrustedFile(this.file).catch((error: Error) => {
      throw new Error(`${this.file} ${error.message}`, { cause: error });
    });
    if (text === null) return null;
    try {
      return parsePins(text).get(product) ?? null;
    } catch (error) {
      throw new Error(`${this.file} ${(error as Error).message}`, { cause: error });
    }
  }
}

/** Reads `{ "products": { "<name>": { "threshold", "keys": [<JWK>], "maxBytes"? } } }`. @throws Error */
export function parsePins(text: string): Map<string, ProductPin> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Error('is not JSON', { cause });
  }
  if (!isObject(value) || !isObject(value.products)) throw new Error('has no "products"');
  return new Map(Object.entries(value.products).map(([product, pin]) => [product, parsePin(product, pin)]));
}

/** Takes on the pins of `path` for good. @throws AgentFailure when they cannot be used */
export async function pinReleaseKeys({ directory }: { directory: string }, path: string): Promise<void> {
  const text = await readFile(path, 'utf8');
  try {
    parsePins(text);
  } catch (cause) {
    throw new AgentFailure(`${path} ${(cause as Error).message}`, EXIT.failed, { cause });
  }
  await writeFileAtomic(join(directory, RELEASE_KEYS_FILE), text);
}

function parsePin(product: string, value: unknown): ProductPin {
  const wrong = (what: string): Error => new Error(`says of ${product}: ${what}`);
  if (!PRODUCT_NAME.test(product)) throw new Error(`names a product "${product}", which is no name of one`);
  if (!isObject(value) || !Array.isArray(value.keys)) throw wrong('there must be "keys"');
  const { threshold = 1, maxBytes = DEFAULT_MAX_BYTES } = value;
  if (value.keys.length > MAX_KEYS) throw wrong(`at most ${MAX_KEYS} keys`);
  const keys = value.keys.map((jwk, index) => {
    const key = parseKey(jwk);
    if (key === null) throw wrong(`key ${index + 1} is no public JWK of Ed25519 or P-256`);
    return key;
  });
  if (new Set(keys.map(({ material }) => material)).size < keys.length)
    throw wrong('a key stands twice, and would count for two');
  if (!isCount(threshold) || threshold < 1 || threshold > keys.length)
    throw wrong(`"threshold" must be from 1 to the number of keys`);
  if (!isCount(maxBytes) || maxBytes === 0) throw wrong('"maxBytes" must be a positive whole number');
  return { keys: keys.map(({ keyId, key }) => ({ keyId, key })), threshold, maxBytes };
}

/** Null for what is no public key of a kind that is used. */
function parseKey(value: unknown): (PinnedKey & { material: string }) | null {
  if (!isObject(value) || 'd' in value) return null;
  const { kty, crv, x, y } = value;
  const isEd25519 = kty === 'OKP' && crv === 'Ed25519';
  if (!isText(x) || !(isEd25519 || (kty === 'EC' && crv === 'P-256' && isText(y)))) return null;
  try {
    const jwk = isEd25519 ? { crv, kty, x } : { crv, kty, x, y };
    const key = createPublicKey({ key: jwk as Record<string, string>, format: 'jwk' });
    // Written by the library once more: two spellings of a number must not be two keys.
    const exact = key.export({ format: 'jwk' }) as { x: string; y?: string };
    const members = isEd25519 ? { crv, kty, x: exact.x } : { crv, kty, x: exact.x, y: exact.y };
    const keyId = createHash('sha256').update(JSON.stringify(members)).digest('base64url');
    return { keyId, key, material: materialOf(exact.x, isEd25519) };
  } catch {
    return null;
  }
}

/** The point without its sign: whoever can sign by a point can sign by its mirror image as well. */
function materialOf(x: string, isEd25519: boolean): string {
  const point = Buffer.from(x, 'base64url');
  if (isEd25519) point[31] = (point[31] ?? 0) & 0x7f;
  return point.toString('hex');
}
