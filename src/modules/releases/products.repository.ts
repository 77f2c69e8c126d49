import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { Product, ProductSettings } from './product.js';

/** Which products a list shows. */
export interface ProductFilter {
  kind?: string | undefined;
  serviceType?: string | undefined;
}

const COLUMNS = sql`p.id, p.name, p.kind, p.service_type AS "serviceType", p.signature_threshold AS "signatureThreshold",
  p.created_at AS "createdAt", p.updated_at AS "updatedAt"`;

@Injectable()
export class ProductsRepository {
  /** null: the name is taken. */
  async insert(tx: Tx, settings: ProductSettings): Promise<Product | null> {
    const { name, kind, serviceType, signatureThreshold } = settings;
    const [row] = await tx.query<Product>(sql`
      INSERT INTO products AS p (id, name, kind, service_type, signature_threshold, created_at, updated_at)
      VALUES (${tx.newId()}::uuid, ${name}, ${kind}, ${serviceType}, ${signatureThreshold}, ${tx.now}, ${tx.now})
      ON CONFLICT (name) DO NOTHING RETURNING ${COLUMNS}`);
    return row ?? null;
  }

  async find(tx: ReadTx, name: string): Promise<Product | null> {
    const [row] = await tx.query<Product>(sql`SELECT ${COLUMNS} FROM products AS p WHERE p.name = ${name}`);
    return row ?? null;
  }

  /** Against every other change of it; who counts signatures by it goes on. */
  async lock(tx: Tx, name: string): Promise<Product | null> {
    const [row] = await tx.query<Product>(
      sql`SELECT ${COLUMNS} FROM products AS p WHERE p.name = ${name} FOR NO KEY UPDATE`,
    );
    return row ?? null;
  }

  /** Holds what the product asks of a release until `tx` ends. */
  async hold(tx: Tx, name: string): Promise<Product | null> {
    const [row] = await tx.query<Product>(
      sql`SELECT ${COLUMNS} FROM products AS p WHERE p.name = ${name} FOR SHARE`,
    );
    return row ?? null;
  }

  async setThreshold(tx: Tx, id: string, threshold: number): Promise<Product> {
    const [row] = await tx.query<Product>(sql`
      UPDATE products AS p SET signature_threshold = ${threshold}, updated_at = ${tx.now}
       WHERE p.id = ${id}::uuid RETURNING ${COLUMNS}`);
    if (row === undefined) throw new Error('the product was not updated');
    return row;
  }

  /** Newest first. */
  list(tx: ReadTx, filter: ProductFilter, after: CursorValues | null, limit: number): Promise<Product[]> {
    const [createdAt = null, id = null] = after ?? [];
    return tx.query<Product>(sql`
      SELECT ${COLUMNS} FROM products AS p
       WHERE (${filter.kind ?? null}::text IS NULL OR p.kind = ${filter.kind ?? null})
         AND (${filter.serviceType ?? null}::text IS NULL OR p.service_type = ${filter.serviceType ?? null})
         AND (${id}::uuid IS NULL OR (p.created_at, p.id) < (${createdAt}::timestamptz, ${id}::uuid))
       ORDER BY p.created_at DESC, p.id DESC LIMIT ${limit + 1}`);
  }

  /** The ids of products by name; those that do not exist are missing. */
  async idsOf(tx: ReadTx, names: readonly string[]): Promise<Map<string, string>> {
    const rows = await tx.query<{ id: string; name: string }>(
      sql`SELECT p.id, p.name FROM products AS p WHERE p.name = ANY (${[...names]}::text[])`,
    );
    return new Map(rows.map(({ id, name }) => [name, id]));
  }
}
