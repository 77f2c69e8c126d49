import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { MasterKeyring } from '../crypto/envelope.js';
import { sql } from '../database/sql.js';
import { conflict, invalid } from '../errors/domain-error.js';
import type { IdempotentRequest } from '../request/request-context.js';
import type { Tx } from '../transaction/tx.js';

/** An answer as it was given. */
export interface StoredAnswer {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: unknown;
}

/** Thrown out of a transaction whose request was answered before: nothing is done, that answer is given again. */
export class Replay extends Error {
  constructor(readonly answer: StoredAnswer) {
    super('the request was answered before');
  }
}

const PURPOSE = 'idempotency-answer';
const KEPT_FOR = '24 hours';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Answers kept for `Idempotency-Key`, in the transaction of the change that they tell of. Each is encrypted under a
 * key derived from the master key and the idempotency key, which is not stored: only its holder can replay.
 */
@Injectable()
export class IdempotencyStore {
  constructor(private readonly keyring: MasterKeyring) {}

  /**
   * First statement of the transaction: takes the request's key, or says that it is taken.
   * @throws Replay with the stored answer; conflict `idempotency_in_progress`; invalid `idempotency_key_reused`
   */
  async claim(tx: Pick<Tx, 'query'>, claim: IdempotentRequest): Promise<void> {
    const keyHash = hashOf(claim);
    const [lock] = await tx.query<{ taken: boolean }>(sql`
      SELECT pg_try_advisory_xact_lock(hashtextextended(${keyHash.toString('hex')}, 0)) AS taken`);
    if (lock?.taken !== true) {
      throw conflict(
        'idempotency_in_progress',
        'The first request with this Idempotency-Key is still running.',
        {
          retryAfterSeconds: 1,
        },
      );
    }
    const [row] = await tx.query<{ fingerprint: Buffer; answer: Buffer }>(sql`
      SELECT k.fingerprint, k.answer FROM idempotency_keys AS k
       WHERE k.principal = ${claim.principal} AND k.key_hash = ${keyHash} AND k.expires_at > now()`);
    if (row === undefined) return;
    if (!row.fingerprint.equals(claim.fingerprint)) {
      throw invalid('idempotency_key_reused', 'This Idempotency-Key was used for a different request.');
    }
    const answer = this.open(claim, row.answer);
    if (answer !== null) throw new Replay(answer);
  }

  /** Keeps the answer for a day, in the transaction of the change. */
  async store(tx: Pick<Tx, 'query'>, claim: IdempotentRequest, answer: StoredAnswer): Promise<void> {
    await tx.query(sql`
      INSERT INTO idempotency_keys AS k (principal, key_hash, fingerprint, answer, expires_at)
      VALUES (${claim.principal}, ${hashOf(claim)}, ${claim.fingerprint}, ${this.seal(claim, answer)},
              now() + ${KEPT_FOR}::interval)
      ON CONFLICT (principal, key_hash) DO UPDATE
         SET fingerprint = excluded.fingerprint, answer = excluded.answer,
             created_at = now(), expires_at = excluded.expires_at`);
  }

  private seal(claim: IdempotentRequest, answer: StoredAnswer): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', answerKey(this.keyring.purposeKey(PURPOSE), claim), nonce);
    return Buffer.concat([
      nonce,
      cipher.update(JSON.stringify(answer), 'utf8'),
      cipher.final(),
      cipher.getAuthTag(),
    ]);
  }

  /** null when no configured master key opens it: an answer from before a key change cannot be given again. */
  private open(claim: IdempotentRequest, sealed: Buffer): StoredAnswer | null {
    for (const purposeKey of this.keyring.purposeKeys(PURPOSE)) {
      const decipher = createDecipheriv(
        'aes-256-gcm',
        answerKey(purposeKey, claim),
        sealed.subarray(0, NONCE_BYTES),
      );
      decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
      try {
        const text = Buffer.concat([
          decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)),
          decipher.final(),
        ]);
        return JSON.parse(text.toString('utf8')) as StoredAnswer;
      } catch {
        // Another key's turn.
      }
    }
    return null;
  }
}

function hashOf(claim: IdempotentRequest): Buffer {
  return createHash('sha256').update(`${claim.principal}\n${claim.key}`).digest();
}

function answerKey(purposeKey: Buffer, claim: IdempotentRequest): Buffer {
  return Buffer.from(hkdfSync('sha256', purposeKey, claim.key, claim.principal, 32));
}
