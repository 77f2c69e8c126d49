import { Injectable } from '@nestjs/common';
import { join, sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { MembershipStatus } from './membership.js';
import { NodeFacets } from './node-facets.js';
import { HEALTH_EXPRESSION, nodeTables } from './nodes.sql.js';
import type { PlatformNodeView } from './platform-nodes.schema.js';

/** A physical host, whatever it is in clusters. */
export interface PlatformNode {
  id: string;
  machineId: string | null;
  createdAt: Date;
}

/** Which hosts a list shows. */
export interface PlatformNodeSelection {
  machineId?: string | undefined;
  clusterId?: string | undefined;
}

type MembershipOf = PlatformNodeView['memberships'][number];

const COLUMNS = sql`n.id, n.machine_id AS "machineId", n.created_at AS "createdAt"`;

@Injectable()
export class PlatformNodesRepository {
  constructor(private readonly facets: NodeFacets) {}

  async find(tx: ReadTx, id: string): Promise<PlatformNode | null> {
    const [row] = await tx.query<PlatformNode>(
      sql`SELECT ${COLUMNS} FROM nodes AS n WHERE n.id = ${id}::uuid`,
    );
    return row ?? null;
  }

  /** Locks the host against new memberships until the transaction ends: admitting refers to its row. */
  async lock(tx: Tx, id: string): Promise<PlatformNode | null> {
    const [row] = await tx.query<PlatformNode>(
      sql`SELECT ${COLUMNS} FROM nodes AS n WHERE n.id = ${id}::uuid FOR UPDATE`,
    );
    return row ?? null;
  }

  /** What the host is, or was, in which cluster, in the order in which clusters are to be locked. */
  statuses(tx: ReadTx, id: string): Promise<{ clusterId: string; membershipStatus: MembershipStatus }[]> {
    return tx.query(sql`
      SELECT m.cluster_id AS "clusterId", m.membership_status AS "membershipStatus" FROM cluster_memberships AS m
       WHERE m.node_id = ${id}::uuid ORDER BY m.cluster_id`);
  }

  /** Newest first; one more than `limit`. */
  list(
    tx: ReadTx,
    { machineId, clusterId }: PlatformNodeSelection,
    after: CursorValues | null,
    limit: number,
  ): Promise<PlatformNode[]> {
    const conditions = [sql`true`];
    if (machineId !== undefined) conditions.push(sql`n.machine_id = ${machineId}`);
    if (clusterId !== undefined) {
      conditions.push(sql`EXISTS (SELECT 1 FROM cluster_memberships AS m
        WHERE m.node_id = n.id AND m.cluster_id = ${clusterId}::uuid)`);
    }
    if (after !== null)
      conditions.push(sql`(n.created_at, n.id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`);
    return tx.query<PlatformNode>(sql`
      SELECT ${COLUMNS} FROM nodes AS n WHERE ${join(conditions, ' AND ')}
       ORDER BY n.created_at DESC, n.id DESC LIMIT ${limit + 1}`);
  }

  /** The memberships of these hosts by host, newest first. */
  async memberships(tx: ReadTx, ids: readonly string[]): Promise<Map<string, MembershipOf[]>> {
    const rows = await tx.query<MembershipOf & { nodeId: string }>(sql`
      SELECT m.node_id AS "nodeId", m.cluster_id AS "clusterId", m.name, m.membership_status AS "membershipStatus",
             ${HEALTH_EXPRESSION} AS health
        FROM ${nodeTables(this.facets)} WHERE m.node_id = ANY(${ids}::uuid[])
       ORDER BY m.joined_at DESC, m.cluster_id DESC`);
    const byNode = new Map<string, MembershipOf[]>();
    for (const { nodeId, ...membership } of rows)
      byNode.set(nodeId, [...(byNode.get(nodeId) ?? []), membership]);
    return byNode;
  }
}
