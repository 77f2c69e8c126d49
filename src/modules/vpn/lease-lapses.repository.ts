import { Injectable } from '@nestjs/common';
import { FABRIC_NOW } from '../../common/database/fabric-now.js';
import { sql } from '../../common/database/sql.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { LONGEST_LEASE_SECONDS } from '../authority/term.js';

/** The leases of a cluster that have ended by their time and that nobody has followed, and how many are in force. */
export interface Lapsed {
  lapsedAt: Date[];
  alive: number;
}

/** Who has not come back after so long does not come back: the lease of an enabled connection that nobody wants. */
const LATELY = sql`make_interval(secs => ${LONGEST_LEASE_SECONDS})`;

@Injectable()
export class LeaseLapsesRepository {
  /** The longest lease that may be out, by cluster. */
  async longest(tx: ReadTx): Promise<Map<string, number>> {
    const rows = await tx.query<{ clusterId: string; seconds: number }>(sql`
      SELECT c.cluster_id AS "clusterId", max(greatest(c.lease_ttl_seconds, l.ttl_seconds)) AS seconds
        FROM vpn_connections AS c
        LEFT JOIN vpn_connection_leases AS l ON l.connection_id = c.id AND l.status = 'active'
       WHERE c.deleted_at IS NULL GROUP BY c.cluster_id`);
    return new Map(rows.map(({ clusterId, seconds }) => [clusterId, seconds]));
  }

  /** Clusters with a lease that is over and not written down. */
  async unwritten(tx: ReadTx): Promise<string[]> {
    const rows = await tx.query<{ clusterId: string }>(sql`
      SELECT DISTINCT l.cluster_id AS "clusterId" FROM vpn_connection_leases AS l
       WHERE l.status = 'active' AND l.expires_at <= ${FABRIC_NOW}`);
    return rows.map(({ clusterId }) => clusterId);
  }

  async ofCluster(tx: ReadTx, clusterId: string): Promise<Lapsed> {
    const [row] = await tx.query<Lapsed>(sql`
      SELECT coalesce(array_agg(l.expires_at) FILTER (WHERE l.expires_at <= n.now), '{}') AS "lapsedAt",
             count(*) FILTER (WHERE l.expires_at > n.now)::int AS alive
        FROM vpn_connections AS c
       CROSS JOIN LATERAL ${LAST} AS l
       CROSS JOIN (SELECT fabric_now() AS now) AS n
       WHERE c.cluster_id = ${clusterId}::uuid AND c.deleted_at IS NULL AND c.desired_state = 'enabled' AND ${IS_COUNTED}`);
    return row ?? { lapsedAt: [], alive: 0 };
  }
}

/** The last lease of `vpn_connections AS c`. */
const LAST = sql`(
  SELECT o.status, o.expires_at FROM vpn_connection_leases AS o
   WHERE o.connection_id = c.id ORDER BY o.fencing_token DESC LIMIT 1)`;

/** Active ones, over or not, and what was written down as expired lately. Who released or was fenced did not lapse. */
const IS_COUNTED = sql`(l.status = 'active' OR l.status = 'expired') AND l.expires_at > ${FABRIC_NOW} - ${LATELY}`;
