import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { LEASE_REASONS } from './engine/lease-care.js';

/** A node that waits for its leases to be handed over. */
export interface WaitingNode {
  assignmentId: string;
  nodeId: string;
  rolloutId: string;
  clusterId: string;
}

/** Which nodes wait for their VPN leases before they go out of service. Written under the lock of the product. */
@Injectable()
export class LeaseWaitsRepository {
  /** All that wait, by rollout, in the order in which they go. */
  waiting(tx: ReadTx, rolloutId: string | null): Promise<WaitingNode[]> {
    return tx.query(sql`
      SELECT a.id AS "assignmentId", a.node_id AS "nodeId", a.rollout_id AS "rolloutId", a.cluster_id AS "clusterId"
        FROM rollout_assignments AS a
       WHERE a.state = 'offered' AND a.lease_wait_until IS NOT NULL AND a.state_reason = ${LEASE_REASONS.waiting}
         AND (${rolloutId}::uuid IS NULL OR a.rollout_id = ${rolloutId}::uuid)
       ORDER BY a.rollout_id, a.wave_position, a.place`);
  }

  /** They wait from now on. */
  async begin(tx: Tx, assignmentIds: readonly string[], until: Date): Promise<void> {
    await tx.query(sql`
      UPDATE rollout_assignments AS a SET state_reason = ${LEASE_REASONS.waiting}, lease_wait_until = ${until}
       WHERE a.id = ANY(${[...assignmentIds]}::uuid[]) AND a.state = 'offered'`);
  }

  /** Says until when one that waits has to, or that there is nothing to wait for. */
  async settle(tx: Tx, assignmentId: string, reason: string, until: Date): Promise<void> {
    await tx.query(sql`
      UPDATE rollout_assignments AS a SET state_reason = ${reason}, lease_wait_until = ${until}
       WHERE a.id = ${assignmentId}::uuid AND a.state = 'offered' AND a.state_reason = ${LEASE_REASONS.waiting}`);
  }

  /** The nodes of a cluster that are out of service for an update of anything. */
  async nodesOut(tx: ReadTx, clusterId: string): Promise<string[]> {
    const rows = await tx.query<{ nodeId: string }>(
      sql`SELECT DISTINCT s.node_id AS "nodeId" FROM update_slots AS s WHERE s.cluster_id = ${clusterId}::uuid`,
    );
    return rows.map(({ nodeId }) => nodeId);
  }
}
