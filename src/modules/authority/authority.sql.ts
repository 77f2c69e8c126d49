import { FABRIC_NOW } from '../../common/database/fabric-now.js';
import { sql } from '../../common/database/sql.js';

/** Until when takeovers are held; a hold that is over is none. */
export const TAKEOVERS_HELD_UNTIL = sql`CASE WHEN a.takeovers_held_until > ${FABRIC_NOW} THEN a.takeovers_held_until END`;

/** Why they are. */
export const TAKEOVERS_HELD_FOR = sql`CASE WHEN a.takeovers_held_until > ${FABRIC_NOW} THEN a.takeovers_held_for END`;

/** An authority as `Authority` has it, of `cluster_authorities AS a`. */
export const AUTHORITY_COLUMNS = sql`a.cluster_id AS "clusterId", a.state, a.term, a.holder, a.since,
  ${TAKEOVERS_HELD_UNTIL} AS "takeoversHeldUntil",
  ${TAKEOVERS_HELD_FOR} AS "takeoversHeldFor",
  coalesce((SELECT jsonb_agg(jsonb_build_object('id', q.id, 'kind', q.kind, 'since', q.since, 'clearedAt', q.cleared_at,
                                                'sides', q.sides, 'evidence', q.evidence) ORDER BY q.since, q.id)
              FROM cluster_partitions AS q
             WHERE q.cluster_id = a.cluster_id AND q.resolved_at IS NULL), '[]') AS partitions`;
