import { Injectable } from '@nestjs/common';
import { FABRIC_NOW } from '../../common/database/fabric-now.js';
import { join, type Sql, sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { ApiToken, ApiTokenStatus } from './api-token.js';

/** Which tokens a list shows. */
export interface ApiTokenFilter {
  status?: ApiTokenStatus | undefined;
  clusterId?: string | undefined;
  createdById?: string | undefined;
}

/** A new token's row. */
export type NewApiToken = Omit<ApiToken, 'createdAt' | 'lastUsedAt' | 'revokedAt'> & { tokenHash: Buffer };

/** A token as it is checked when somebody uses it. */
export type PresentedApiToken = ApiToken & {
  tokenHash: Buffer;
  /** The database's clock. */
  now: Date;
  /** It was last noted more than a minute ago. */
  isUseDue: boolean;
};

const COLUMNS = sql`t.id, t.name, t.role, t.permissions, t.cluster_id AS "clusterId",
  t.organization_id AS "organizationId", t.high_risk AS "highRisk", t.allowed_addresses AS "allowedAddresses",
  t.created_by_type AS "createdByType", t.created_by_id AS "createdById", t.created_at AS "createdAt",
  t.expires_at AS "expiresAt", t.last_used_at AS "lastUsedAt", t.revoked_at AS "revokedAt"`;

/** Uses are noted this often, so that a busy token costs no write a request. */
const USE_IS_DUE = sql`(t.last_used_at IS NULL OR t.last_used_at <= now() - interval '1 minute')`;

@Injectable()
export class ApiTokensRepository {
  async insert(tx: Tx, row: NewApiToken): Promise<ApiToken> {
    const [made] = await tx.query<ApiToken>(sql`
      INSERT INTO api_tokens AS t (id, name, token_hash, role, permissions, cluster_id, organization_id, high_risk,
             allowed_addresses, created_by_type, created_by_id, created_at, expires_at)
      VALUES (${row.id}::uuid, ${row.name}, ${row.tokenHash}, ${row.role}, ${row.permissions}::text[],
             ${row.clusterId}::uuid, ${row.organizationId}::uuid, ${row.highRisk}, ${row.allowedAddresses}::text[],
             ${row.createdByType}, ${row.createdById}, ${tx.now}, ${row.expiresAt})
      RETURNING ${COLUMNS}`);
    if (made === undefined) throw new Error('the token was not written');
    return made;
  }

  async find(tx: ReadTx, id: string): Promise<ApiToken | null> {
    const [row] = await tx.query<ApiToken>(
      sql`SELECT ${COLUMNS} FROM api_tokens AS t WHERE t.id = ${id}::uuid`,
    );
    return row ?? null;
  }

  /** Locks the row, so that of two revocations one is the first. */
  async lock(tx: Tx, id: string): Promise<ApiToken | null> {
    const [row] = await tx.query<ApiToken>(sql`
      SELECT ${COLUMNS} FROM api_tokens AS t WHERE t.id = ${id}::uuid FOR NO KEY UPDATE`);
    return row ?? null;
  }

  async revoke(tx: Tx, id: string): Promise<void> {
    await tx.query(sql`
      UPDATE api_tokens AS t SET revoked_at = ${tx.now} WHERE t.id = ${id}::uuid AND t.revoked_at IS NULL`);
  }

  /** Newest first; one more than `limit`, so that the page knows whether another follows. */
  list(tx: ReadTx, filter: ApiTokenFilter, after: CursorValues | null, limit: number): Promise<ApiToken[]> {
    const conditions: Sql[] = [sql`true`];
    if (filter.status !== undefined) conditions.push(statusIs(filter.status, tx.now));
    if (filter.clusterId !== undefined) conditions.push(sql`t.cluster_id = ${filter.clusterId}::uuid`);
    if (filter.createdById !== undefined) conditions.push(sql`t.created_by_id = ${filter.createdById}`);
    if (after !== null)
      conditions.push(sql`(t.created_at, t.id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`);
    return tx.query<ApiToken>(sql`
      SELECT ${COLUMNS} FROM api_tokens AS t WHERE ${join(conditions, ' AND ')}
       ORDER BY t.created_at DESC, t.id DESC LIMIT ${limit + 1}`);
  }

  /** The token that somebody presents, with the keyed hash to compare and the time to judge by. */
  async findPresented(query: ReadTx['query'], id: string): Promise<PresentedApiToken | null> {
    const [row] = await query<PresentedApiToken>(sql`
      SELECT ${COLUMNS}, t.token_hash AS "tokenHash", ${FABRIC_NOW} AS now, ${USE_IS_DUE} AS "isUseDue"
        FROM api_tokens AS t WHERE t.id = ${id}::uuid`);
    return row ?? null;
  }

  /** Notes a use. Of many at once, on any instances, one writes. */
  async noteUse(query: ReadTx['query'], id: string): Promise<void> {
    await query(
      sql`UPDATE api_tokens AS t SET last_used_at = now() WHERE t.id = ${id}::uuid AND ${USE_IS_DUE}`,
    );
  }
}

/** The same rule as `apiTokenStatus`. */
function statusIs(status: ApiTokenStatus, now: Date): Sql {
  if (status === 'revoked') return sql`t.revoked_at IS NOT NULL`;
  if (status === 'expired') return sql`(t.revoked_at IS NULL AND t.expires_at <= ${now})`;
  return sql`(t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > ${now}))`;
}
