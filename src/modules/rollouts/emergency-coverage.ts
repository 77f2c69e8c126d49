import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx } from '../../common/transaction/tx.js';

/** The emergency pin `p` decides now. */
export function decidesNow({ now }: ReadTx): Sql {
  return sql`p.activated_at IS NOT NULL AND p.ended_at IS NULL AND p.expires_at > ${now}`;
}

/** An emergency pin decides now about the node of `a`, and another rollout than that of `a` leads it there. */
export function isHeld(tx: ReadTx): Sql {
  return sql`EXISTS (SELECT 1 FROM emergency_pin_nodes AS e JOIN emergency_pins AS p ON p.id = e.pin_id
    WHERE e.cluster_id = a.cluster_id AND e.product_id = a.product_id AND e.node_id = a.node_id
      AND p.rollout_id <> a.rollout_id AND ${decidesNow(tx)})`;
}

/** The node of `a` is, or may be, out of service on another way than `a`. */
export const IS_AWAY_ON_ANOTHER = sql`EXISTS (SELECT 1 FROM rollout_assignments AS b
  WHERE b.cluster_id = a.cluster_id AND b.product_id = a.product_id AND b.node_id = a.node_id AND b.id <> a.id
    AND b.state IN ('granted', 'applying', 'health', 'lost') AND NOT b.is_written_off)`;
