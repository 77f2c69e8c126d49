import { FABRIC_NOW } from '../../common/database/fabric-now.js';
import { sql } from '../../common/database/sql.js';

/** An authority as `Authority` has it, of `cluster_authorities AS a`. A hold that is over is none. */
export const AUTHORITY_COLUMNS = sql`a.cluster_id AS "clusterId", a.state, a.term, a.holder, a.since,
  CASE WHEN a.takeovers_held_until > ${FABRIC_NOW} THEN a.takeovers_held_until END AS "takeoversHeldUntil"`;
