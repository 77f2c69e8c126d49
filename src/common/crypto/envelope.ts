import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { canonicalJson } from '../json/canonical-json.js';

/** What a sealed value is bound to: it opens with exactly the same context. Undefined members count as absent. */
export interface SealContext {
  /** What the value is, such as `cluster_ca_key`; never reused for another thing. */
  purpose: string;
  clusterId?: string | undefined;
  [part: string]: string | undefined;
}

/** Why a sealed value does not open: its key is not in the ring, or bytes or context are not those it was sealed with. */
export type EnvelopeFailure = 'unknown_key' | 'tampered';

/** A sealed value does not open. Never caused by a caller's input: the database or the configuration is wrong. */
export class EnvelopeError extends Error {
  constructor(
    readonly reason: EnvelopeFailure,
    message: string,
  ) {
    super(message);
    this.name = 'EnvelopeError';
  }
}

const KEY_BYTES = 32;
const KEY_TEXT = /^[A-Za-z0-9_-]{43}=?$/;
const SALT = 'fabric-control-plane/v1';

// Layout of a sealed value: version, key id, nonce, ciphertext, tag.
const VERSION = 1;
const KEY_ID_BYTES = 8;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const NONCE_AT = 1 + KEY_ID_BYTES;
const CIPHERTEXT_AT = NONCE_AT + NONCE_BYTES;

/** The master key (`FABRIC_MASTER_KEY`) with those before it, and all that is derived from them: keys for hashing and
 *  signing by purpose, and sealing of what rests in the database. The current key writes, any of them reads. */
export class MasterKeyring {
  private readonly keys: readonly MasterKey[];

  /** @param current base64url of 32 bytes; @param previous the same, newest first
   *  @throws Error that names the variable and never quotes the key */
  constructor(current: string, previous: readonly string[] = []) {
    const keys = [
      new MasterKey(readKey('FABRIC_MASTER_KEY', current)),
      ...previous.map((text) => new MasterKey(readKey('FABRIC_MASTER_KEY_PREVIOUS', text))),
    ];
    this.keys = keys.filter((key, index) => keys.findIndex((other) => other.id === key.id) === index);
  }

  /** Names the current key without revealing it: 16 hexadecimal digits. */
  get keyId(): string {
    return this.current.id;
  }

  /** Whether a value sealed under the key with this id can be opened. */
  hasKey(keyId: string): boolean {
    return this.keys.some((key) => key.id === keyId);
  }

  /** 32 bytes derived from the current key, for one purpose only and unrelated to those of any other. */
  purposeKey(purpose: string): Buffer {
    return this.current.derive(`purpose:${purpose}`);
  }

  /** The purpose's keys, current first, for checking hashes and tags made before a change of the master key. */
  purposeKeys(purpose: string): readonly Buffer[] {
    return this.keys.map((key) => key.derive(`purpose:${purpose}`));
  }

  /** Encrypts with AES-256-GCM, bound to `context`. */
  seal(plaintext: Buffer, context: SealContext): Buffer {
    const header = Buffer.concat([Buffer.of(VERSION), Buffer.from(this.current.id, 'hex')]);
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', sealingKey(this.current, context), nonce);
    cipher.setAAD(associatedData(header, context));
    return Buffer.concat([header, nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  }

  /** What was sealed, given the same context.
   *  @throws EnvelopeError `unknown_key`, `tampered` (bytes or context differ; no way to tell which) */
  open(sealed: Buffer, context: SealContext): Buffer {
    const keyId = sealedKeyId(sealed);
    const key = this.keys.find((each) => each.id === keyId);
    if (key === undefined) {
      throw new EnvelopeError(
        'unknown_key',
        `Sealed under the master key ${keyId}, which is not configured.`,
      );
    }
    const nonce = sealed.subarray(NONCE_AT, CIPHERTEXT_AT);
    const decipher = createDecipheriv('aes-256-gcm', sealingKey(key, context), nonce, {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(associatedData(sealed.subarray(0, NONCE_AT), context));
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    const ciphertext = sealed.subarray(CIPHERTEXT_AT, -TAG_BYTES);
    try {
      return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
    } catch {
      throw new EnvelopeError('tampered', `A sealed ${context.purpose} was altered or belongs elsewhere.`);
    }
  }

  private get current(): MasterKey {
    const [current] = this.keys;
    if (current === undefined) throw new Error('unreachable: the constructor always keeps the current key');
    return current;
  }
}

/** The id of the key that a value was sealed under; not the ring's `keyId`: seal it again.
 *  @throws EnvelopeError `tampered` when it is no sealed value at all */
export function sealedKeyId(sealed: Buffer): string {
  if (sealed.length < CIPHERTEXT_AT + TAG_BYTES || sealed[0] !== VERSION) {
    throw new EnvelopeError('tampered', 'Not a sealed value of a known version.');
  }
  return sealed.toString('hex', 1, NONCE_AT);
}

class MasterKey {
  readonly id: string;
  private readonly derived = new Map<string, Buffer>();

  constructor(private readonly bytes: Buffer) {
    const fingerprint = createHash('sha256').update(this.derive('key-id')).digest();
    this.id = fingerprint.toString('hex', 0, KEY_ID_BYTES);
  }

  /** HKDF-SHA-256; kept, because purposes are few and known when the code is written. */
  derive(info: string): Buffer {
    const known = this.derived.get(info);
    if (known !== undefined) return known;
    const key = Buffer.from(hkdfSync('sha256', this.bytes, SALT, info, KEY_BYTES));
    this.derived.set(info, key);
    return key;
  }
}

/** A key of its own for each purpose, so that the random nonces of one kind of value use up no other's. */
function sealingKey(key: MasterKey, context: SealContext): Buffer {
  return key.derive(`seal:${context.purpose}`);
}

function associatedData(header: Buffer, context: SealContext): Buffer {
  return Buffer.concat([header, Buffer.from(canonicalJson(context))]);
}

function readKey(variable: string, text: string): Buffer {
  if (!KEY_TEXT.test(text)) {
    throw new Error(`${variable} must be base64url of exactly ${KEY_BYTES} bytes (43 characters).`);
  }
  return Buffer.from(text, 'base64url');
}
