import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { NodeJwk } from '../nodes/node-key.js';
import { keyMaterial, type SigningKey } from './signing-key.js';

/** A key as it is written. */
export interface NewSigningKey {
  name: string;
  keyId: string;
  publicKey: NodeJwk;
  /** null: all. */
  productIds: readonly string[] | null;
}

/** Which keys a list shows. */
export interface SigningKeyFilter {
  product?: string | undefined;
  status?: 'active' | 'revoked' | undefined;
}

interface Row extends Omit<SigningKey, 'publicKey'> {
  curve: 'Ed25519' | 'P-256';
  x: string;
  y: string | null;
}

const COLUMNS = sql`k.id, k.name, k.key_id AS "keyId", k.curve, k.x, k.y, k.created_at AS "createdAt",
  k.revoked_at AS "revokedAt", k.revoked_reason AS "revokedReason",
  CASE WHEN NOT k.all_products THEN ARRAY(
    SELECT p.name FROM signing_key_products AS s JOIN products AS p ON p.id = s.product_id
     WHERE s.signing_key_id = k.id ORDER BY p.name) END AS products`;

@Injectable()
export class SigningKeysRepository {
  /** null: the same key is there already, under this id or another. */
  async insert(tx: Tx, { name, keyId, publicKey, productIds }: NewSigningKey): Promise<SigningKey | null> {
    const y = publicKey.kty === 'EC' ? publicKey.y : null;
    const [made] = await tx.query<{ id: string }>(sql`
      INSERT INTO signing_keys AS k (id, name, key_id, curve, x, y, material, all_products, created_at)
      VALUES (${tx.newId()}::uuid, ${name}, ${keyId}, ${publicKey.crv}, ${publicKey.x}, ${y}, ${keyMaterial(publicKey)},
              ${productIds === null}, ${tx.now})
      ON CONFLICT DO NOTHING RETURNING k.id`);
    if (made === undefined) return null;
    await tx.query(sql`
      INSERT INTO signing_key_products (signing_key_id, product_id)
      SELECT ${made.id}::uuid, p.id FROM unnest(${[...(productIds ?? [])]}::uuid[]) AS p (id)`);
    return this.find(tx, made.id);
  }

  async find(tx: ReadTx, id: string): Promise<SigningKey | null> {
    return this.one(tx, sql`WHERE k.id = ${id}::uuid`);
  }

  async lock(tx: Tx, id: string): Promise<SigningKey | null> {
    return this.one(tx, sql`WHERE k.id = ${id}::uuid FOR NO KEY UPDATE OF k`);
  }

  async revoke(tx: Tx, id: string, reason: string | null): Promise<void> {
    await tx.query(sql`
      UPDATE signing_keys AS k SET revoked_at = ${tx.now}, revoked_reason = ${reason} WHERE k.id = ${id}::uuid`);
  }

  /** Newest first. */
  async list(
    tx: ReadTx,
    filter: SigningKeyFilter,
    after: CursorValues | null,
    limit: number,
  ): Promise<SigningKey[]> {
    const [createdAt = null, id = null] = after ?? [];
    const { product = null, status = null } = filter;
    const rows = await tx.query<Row>(sql`
      SELECT ${COLUMNS} FROM signing_keys AS k
       WHERE (${status}::text IS NULL OR (k.revoked_at IS NULL) = (${status} = 'active'))
         AND (${product}::text IS NULL OR k.all_products OR EXISTS (
               SELECT 1 FROM signing_key_products AS s JOIN products AS p ON p.id = s.product_id
                WHERE s.signing_key_id = k.id AND p.name = ${product}))
         AND (${id}::uuid IS NULL OR (k.created_at, k.id) < (${createdAt}::timestamptz, ${id}::uuid))
       ORDER BY k.created_at DESC, k.id DESC LIMIT ${limit + 1}`);
    return rows.map(keyOf);
  }

  /** Those of the named keys that may sign for the product now; held, so that none is revoked before `tx` ends. */
  async holdTrusted(tx: Tx, productId: string, keyIds: readonly string[]): Promise<SigningKey[]> {
    const rows = await tx.query<Row>(sql`
      SELECT ${COLUMNS} FROM signing_keys AS k
       WHERE k.key_id = ANY (${[...keyIds]}::text[]) AND k.revoked_at IS NULL
         AND (k.all_products OR EXISTS (SELECT 1 FROM signing_key_products AS s
               WHERE s.signing_key_id = k.id AND s.product_id = ${productId}::uuid))
       ORDER BY k.id FOR SHARE OF k`);
    return rows.map(keyOf);
  }

  private async one(tx: ReadTx, rest: Sql): Promise<SigningKey | null> {
    const [row] = await tx.query<Row>(sql`SELECT ${COLUMNS} FROM signing_keys AS k ${rest}`);
    return row === undefined ? null : keyOf(row);
  }
}

function keyOf({ curve, x, y, ...row }: Row): SigningKey {
  const publicKey: NodeJwk =
    curve === 'Ed25519' ? { kty: 'OKP', crv: curve, x } : { kty: 'EC', crv: curve, x, y: y ?? '' };
  return { ...row, publicKey };
}
