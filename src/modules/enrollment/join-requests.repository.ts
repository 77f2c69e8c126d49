import { Injectable } from '@nestjs/common';
import { FABRIC_NOW } from '../../common/database/fabric-now.js';
import { join, type Sql, sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import {
  type JoinRequest,
  type JoinRequestStatus,
  type NamedRequest,
  NEXT,
  type RepeatedClaims,
} from './join-request.js';

/** How a request ends. */
export type Decision =
  | { status: 'approved'; approvedNodeId: string }
  | { status: 'rejected'; rejectionReason: string }
  | { status: 'cancelled' };

/** Which requests a list shows. */
export interface JoinRequestFilter {
  status?: JoinRequestStatus | undefined;
  tokenId?: string | undefined;
  q?: string | undefined;
}

const COLUMNS = sql`r.id, r.cluster_id AS "clusterId", r.token_id AS "tokenId", r.node_name AS "nodeName",
  r.node_fingerprint AS "nodeFingerprint", r.public_key AS "publicKey", r.csr,
  r.reported_capabilities AS "reportedCapabilities", r.reported_facts AS "reportedFacts",
  r.requested_roles AS "requestedRoles", r.agent_version AS "agentVersion",
  r.clock_skew_seconds AS "clockSkewSeconds", r.status, r.expires_at AS "expiresAt",
  CASE WHEN r.reviewed_by_type IS NOT NULL
       THEN jsonb_build_object('type', r.reviewed_by_type, 'id', r.reviewed_by_id) END AS "reviewedBy",
  r.reviewed_at AS "reviewedAt", r.approved_node_id AS "approvedNodeId",
  r.rejection_reason AS "rejectionReason", r.certificate, r.created_at AS "createdAt"`;

/** `joinRequestStatus` said in SQL, so that lists can filter by it. */
const STATUS = sql`CASE WHEN r.status = 'pending' AND r.expires_at <= ${FABRIC_NOW} THEN 'expired' ELSE r.status END`;

/** The statuses from which a request may go to `to`. */
const allowedFrom = (to: JoinRequestStatus) =>
  (Object.keys(NEXT) as JoinRequestStatus[]).filter((status) => NEXT[status].includes(to));

@Injectable()
export class JoinRequestsRepository {
  async insert(tx: Tx, request: JoinRequest): Promise<void> {
    await tx.query(sql`
      INSERT INTO node_join_requests (id, cluster_id, token_id, node_name, node_fingerprint, public_key, csr,
             reported_capabilities, reported_facts, requested_roles, agent_version, clock_skew_seconds, expires_at,
             created_at, updated_at)
      VALUES (${request.id}::uuid, ${request.clusterId}::uuid, ${request.tokenId}::uuid, ${request.nodeName},
              ${request.nodeFingerprint}, ${JSON.stringify(request.publicKey)}::jsonb, ${request.csr},
              ${request.reportedCapabilities}::text[], ${JSON.stringify(request.reportedFacts)}::jsonb,
              ${request.requestedRoles}::text[], ${request.agentVersion}, ${request.clockSkewSeconds}::float8,
              ${request.expiresAt}, ${request.createdAt}, ${request.createdAt})`);
  }

  async find(tx: ReadTx, clusterId: string, id: string): Promise<JoinRequest | null> {
    const [row] = await tx.query<JoinRequest>(sql`
      SELECT ${COLUMNS} FROM node_join_requests AS r WHERE r.cluster_id = ${clusterId}::uuid AND r.id = ${id}::uuid`);
    return row ?? null;
  }

  /** Ids of the requests by which a node was admitted to the cluster. */
  async approvedFor(tx: ReadTx, clusterId: string, nodeId: string): Promise<string[]> {
    const rows = await tx.query<{ id: string }>(sql`
      SELECT r.id FROM node_join_requests AS r
       WHERE r.cluster_id = ${clusterId}::uuid AND r.approved_node_id = ${nodeId}::uuid
       ORDER BY r.reviewed_at, r.id LIMIT 1`);
    return rows.map(({ id }) => id);
  }

  /** For the agent, which knows no cluster. */
  async findById(query: ReadTx['query'], id: string): Promise<JoinRequest | null> {
    const [row] = await query<JoinRequest>(sql`
      SELECT ${COLUMNS} FROM node_join_requests AS r WHERE r.id = ${id}::uuid`);
    return row ?? null;
  }

  async lock(tx: Tx, id: string): Promise<JoinRequest | null> {
    const [row] = await tx.query<JoinRequest>(sql`
      SELECT ${COLUMNS} FROM node_join_requests AS r WHERE r.id = ${id}::uuid FOR NO KEY UPDATE`);
    return row ?? null;
  }

  /** The request that this key made with this token, locked. */
  async lockByKey(tx: Tx, tokenId: string, keyThumbprint: string): Promise<JoinRequest | null> {
    const [row] = await tx.query<JoinRequest>(sql`
      SELECT ${COLUMNS} FROM node_join_requests AS r
       WHERE r.token_id = ${tokenId}::uuid AND r.node_fingerprint = ${keyThumbprint} FOR NO KEY UPDATE`);
    return row ?? null;
  }

  /** Replaces what the node says of itself while the request is pending. */
  async update(tx: Tx, id: string, claims: RepeatedClaims, clockSkewSeconds: number): Promise<void> {
    await tx.query(sql`
      UPDATE node_join_requests AS r
         SET csr = ${claims.csr}, reported_capabilities = ${claims.reportedCapabilities}::text[],
             reported_facts = ${JSON.stringify(claims.reportedFacts)}::jsonb,
             requested_roles = ${claims.requestedRoles}::text[], agent_version = ${claims.agentVersion},
             clock_skew_seconds = ${clockSkewSeconds}::float8, updated_at = ${tx.now}
       WHERE r.id = ${id}::uuid AND r.status = 'pending'`);
  }

  /** Writes the decision of a locked request. */
  async decide(
    tx: Tx,
    id: string,
    decision: Decision,
    by: { type: string; id: string } | null,
  ): Promise<JoinRequest> {
    const { status } = decision;
    const nodeId = status === 'approved' ? decision.approvedNodeId : null;
    const reason = status === 'rejected' ? decision.rejectionReason : null;
    const [row] = await tx.query<JoinRequest>(sql`
      UPDATE node_join_requests AS r
         SET status = ${status}, approved_node_id = ${nodeId}::uuid, rejection_reason = ${reason},
             reviewed_by_type = ${by?.type ?? null}, reviewed_by_id = ${by?.id ?? null},
             reviewed_at = ${by === null ? null : tx.now}::timestamptz, updated_at = ${tx.now}
       WHERE r.id = ${id}::uuid AND r.status = ANY(${allowedFrom(status)}::text[]) RETURNING ${COLUMNS}`);
    if (row === undefined) throw new Error(`join request ${id} was decided although it was locked`);
    return row;
  }

  /** False when there is one already. */
  async keepCertificate(tx: Tx, id: string, certificate: string): Promise<boolean> {
    const rows = await tx.query(sql`
      UPDATE node_join_requests AS r SET certificate = ${certificate}
       WHERE r.id = ${id}::uuid AND r.status = 'approved' AND r.certificate IS NULL RETURNING r.id`);
    return rows.length === 1;
  }

  /** Newest first; one more than `limit`, so that the page knows whether another follows. */
  async list(
    tx: ReadTx,
    clusterId: string,
    { status, tokenId, q }: JoinRequestFilter,
    after: CursorValues | null,
    limit: number,
  ): Promise<JoinRequest[]> {
    const conditions: Sql[] = [sql`r.cluster_id = ${clusterId}::uuid`];
    if (status !== undefined) conditions.push(sql`${STATUS} = ${status}`);
    if (tokenId !== undefined) conditions.push(sql`r.token_id = ${tokenId}::uuid`);
    if (q !== undefined) {
      conditions.push(sql`(strpos(lower(r.node_name), lower(${q})) > 0 OR r.node_fingerprint = ${q}
        OR strpos(lower(r.reported_facts ->> 'hostname'), lower(${q})) > 0 OR r.reported_facts ->> 'machineId' = ${q}
        OR r.approved_node_id::text = lower(${q}))`);
    }
    if (after !== null)
      conditions.push(sql`(r.created_at, r.id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`);
    return tx.query<JoinRequest>(sql`
      SELECT ${COLUMNS} FROM node_join_requests AS r WHERE ${join(conditions, ' AND ')}
       ORDER BY r.created_at DESC, r.id DESC LIMIT ${limit + 1}`);
  }

  /** Writes down a batch of expiries and gives the uses back; requests that somebody holds are left for next time. */
  async expire(tx: Tx, limit: number): Promise<NamedRequest[]> {
    return tx.query<NamedRequest>(sql`
      WITH due AS (
        SELECT r.id FROM node_join_requests AS r WHERE r.status = 'pending' AND r.expires_at <= ${FABRIC_NOW}
         ORDER BY r.expires_at LIMIT ${limit} FOR NO KEY UPDATE SKIP LOCKED),
      expired AS (
        UPDATE node_join_requests AS r SET status = 'expired', updated_at = now() FROM due WHERE r.id = due.id
        RETURNING r.id, r.cluster_id, r.token_id, r.node_name, r.node_fingerprint),
      given_back AS (
        UPDATE node_join_token_uses AS u SET given_back_at = now() FROM expired AS e
         WHERE u.token_id = e.token_id AND u.key_thumbprint = e.node_fingerprint AND u.given_back_at IS NULL)
      SELECT e.id, e.cluster_id AS "clusterId", e.node_name AS "nodeName" FROM expired AS e`);
  }

  /** How many requests wait for a decision, by cluster. */
  async countPending(tx: ReadTx, clusterIds: readonly string[]): Promise<Map<string, number>> {
    const rows = await tx.query<{ clusterId: string; pending: number }>(sql`
      SELECT r.cluster_id AS "clusterId", count(*)::int AS pending FROM node_join_requests AS r
       WHERE r.cluster_id = ANY(${clusterIds}::uuid[]) AND r.status = 'pending' AND r.expires_at > now() GROUP BY 1`);
    return new Map(rows.map(({ clusterId, pending }) => [clusterId, pending]));
  }
}
