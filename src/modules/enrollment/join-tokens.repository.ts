import { Injectable } from '@nestjs/common';
import { FABRIC_NOW } from '../../common/database/fabric-now.js';
import { join, type Sql, sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { JoinToken, JoinTokenStatus } from './join-token.js';

/** A token with its status at the database's instant. */
export type StatedJoinToken = JoinToken & { status: JoinTokenStatus };

/** Uses that count: not given back, and not of a request that expired without anybody having written it down yet. */
const USED = sql`(SELECT count(*)::int FROM node_join_token_uses AS u
  LEFT JOIN node_join_requests AS r ON r.token_id = u.token_id AND r.node_fingerprint = u.key_thumbprint
  WHERE u.token_id = t.id AND u.given_back_at IS NULL
    AND NOT coalesce(r.status = 'pending' AND r.expires_at <= ${FABRIC_NOW}, false))`;

const COLUMNS = sql`t.id, t.cluster_id AS "clusterId", t.description, t.scope, t.auto_approve AS "autoApprove",
  t.max_uses AS "maxUses", jsonb_build_object('type', t.created_by_type, 'id', t.created_by_id) AS "createdBy",
  t.created_at AS "createdAt", t.expires_at AS "expiresAt", t.revoked_at AS "revokedAt"`;

/** `joinTokenStatus` said in SQL, so that lists can filter by it; `x.used` is the count of uses. */
const STATUS = sql`CASE WHEN t.revoked_at IS NOT NULL THEN 'revoked' WHEN t.expires_at <= ${FABRIC_NOW} THEN 'expired'
  WHEN x.used >= t.max_uses THEN 'exhausted' ELSE 'active' END`;

const STATED = sql`SELECT ${COLUMNS}, x.used AS "usedCount", ${STATUS} AS status
  FROM node_join_tokens AS t CROSS JOIN LATERAL (SELECT ${USED} AS used) AS x`;

@Injectable()
export class JoinTokensRepository {
  async insert(tx: Tx, token: Omit<JoinToken, 'usedCount'>, tokenHash: Buffer): Promise<void> {
    await tx.query(sql`
      INSERT INTO node_join_tokens (id, cluster_id, description, token_hash, scope, auto_approve, max_uses,
             created_by_type, created_by_id, created_at, expires_at)
      VALUES (${token.id}::uuid, ${token.clusterId}::uuid, ${token.description}, ${tokenHash},
              ${JSON.stringify(token.scope)}::jsonb, ${token.autoApprove}, ${token.maxUses}, ${token.createdBy.type},
              ${token.createdBy.id}, ${token.createdAt}, ${token.expiresAt})`);
  }

  async find(tx: ReadTx, clusterId: string, id: string): Promise<StatedJoinToken | null> {
    const [row] = await tx.query<StatedJoinToken>(sql`
      ${STATED} WHERE t.cluster_id = ${clusterId}::uuid AND t.id = ${id}::uuid`);
    return row ?? null;
  }

  /** Newest first; one more than `limit`, so that the page knows whether another follows. */
  async list(
    tx: ReadTx,
    clusterId: string,
    status: JoinTokenStatus | undefined,
    after: CursorValues | null,
    limit: number,
  ): Promise<StatedJoinToken[]> {
    const conditions: Sql[] = [sql`t.cluster_id = ${clusterId}::uuid`];
    if (status !== undefined) conditions.push(sql`${STATUS} = ${status}`);
    if (after !== null)
      conditions.push(sql`(t.created_at, t.id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`);
    return tx.query<StatedJoinToken>(sql`
      ${STATED} WHERE ${join(conditions, ' AND ')} ORDER BY t.created_at DESC, t.id DESC LIMIT ${limit + 1}`);
  }

  /** What a presented token is compared with, before anything is locked; null when there is no such id. */
  async findPresented(
    query: ReadTx['query'],
    id: string,
  ): Promise<(Pick<JoinToken, 'id' | 'clusterId' | 'autoApprove'> & { tokenHash: Buffer }) | null> {
    const [row] = await query<
      Pick<JoinToken, 'id' | 'clusterId' | 'autoApprove'> & { tokenHash: Buffer }
    >(sql`
      SELECT t.id, t.cluster_id AS "clusterId", t.auto_approve AS "autoApprove", t.token_hash AS "tokenHash"
        FROM node_join_tokens AS t WHERE t.id = ${id}::uuid`);
    return row ?? null;
  }

  /** The scopes of these tokens, by token id. */
  async scopes(tx: ReadTx, ids: readonly string[]): Promise<Map<string, JoinToken['scope']>> {
    const rows = await tx.query<Pick<JoinToken, 'id' | 'scope'>>(sql`
      SELECT t.id, t.scope FROM node_join_tokens AS t WHERE t.id = ANY(${ids}::uuid[])`);
    return new Map(rows.map((row) => [row.id, row.scope]));
  }

  /** Locks the token's row: its uses are spent, and its requests decided, one at a time until `tx` ends. */
  async lock(tx: Tx, id: string): Promise<JoinToken | null> {
    const [row] = await tx.query<Omit<JoinToken, 'usedCount'>>(sql`
      SELECT ${COLUMNS} FROM node_join_tokens AS t WHERE t.id = ${id}::uuid FOR NO KEY UPDATE`);
    if (row === undefined) return null;
    // A statement of its own: the one above still sees the rows from before it waited.
    const [uses] = await tx.query<{ used: number }>(sql`
      SELECT ${USED} AS used FROM node_join_tokens AS t WHERE t.id = ${id}::uuid`);
    return { ...row, usedCount: uses?.used ?? 0 };
  }

  async revoke(tx: Tx, id: string): Promise<void> {
    await tx.query(sql`UPDATE node_join_tokens AS t SET revoked_at = ${tx.now} WHERE t.id = ${id}::uuid`);
  }

  async addUse(tx: Tx, tokenId: string, keyThumbprint: string): Promise<void> {
    await tx.query(sql`
      INSERT INTO node_join_token_uses (token_id, key_thumbprint, spent_at)
      VALUES (${tokenId}::uuid, ${keyThumbprint}, ${tx.now})`);
  }

  async giveBack(tx: Tx, tokenId: string, keyThumbprint: string): Promise<void> {
    await tx.query(sql`
      UPDATE node_join_token_uses AS u SET given_back_at = ${tx.now}
       WHERE u.token_id = ${tokenId}::uuid AND u.key_thumbprint = ${keyThumbprint} AND u.given_back_at IS NULL`);
  }

  /** Marks a batch of tokens whose expiry nobody has written down; those that another worker holds are left to it. */
  async noteExpired(
    tx: Tx,
    limit: number,
  ): Promise<Pick<JoinToken, 'id' | 'clusterId' | 'description' | 'expiresAt' | 'usedCount'>[]> {
    return tx.query(sql`
      WITH due AS (
        SELECT t.id FROM node_join_tokens AS t
         WHERE t.expires_at <= ${FABRIC_NOW} AND t.expiry_noted_at IS NULL AND t.revoked_at IS NULL
         ORDER BY t.expires_at LIMIT ${limit} FOR UPDATE SKIP LOCKED)
      UPDATE node_join_tokens AS t SET expiry_noted_at = now() FROM due WHERE t.id = due.id
      RETURNING t.id, t.cluster_id AS "clusterId", t.description, t.expires_at AS "expiresAt", ${USED} AS "usedCount"`);
  }
}
