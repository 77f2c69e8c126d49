import { sql } from '../../common/database/sql.js';

/** Of `a`, an assignment. */
export const ASSIGNMENT_COLUMNS = sql`a.id, a.rollout_id AS "rolloutId", a.cluster_id AS "clusterId", a.product_id AS "productId",
  a.node_id AS "nodeId", a.direction, a.wave_position AS "wavePosition", a.place, a.state, a.state_reason AS "stateReason",
  a.from_version AS "fromVersion", a.step_from AS "stepFrom", a.to_version AS "toVersion", a.to_release_id AS "toReleaseId", a.os, a.arch,
  a.is_stop AS "isStop", a.retries_left AS "retriesLeft", a.node_state AS "nodeState", a.epoch::float8 AS epoch, a.attempt,
  a.sequence::float8 AS sequence, a.message, a.is_written_off AS "isWrittenOff", a.state_changed_at AS "stateChangedAt",
  a.reported_at AS "reportedAt"`;

/** The way `a` has led its node to a version that another rollout has led it away from since: of two at one instant, as
 *  when the clock stands still, the one of the later rollout. */
export const IS_LEFT_BEHIND = sql`EXISTS (SELECT 1 FROM rollout_assignments AS l
  WHERE l.cluster_id = a.cluster_id AND l.node_id = a.node_id AND l.product_id = a.product_id
    AND l.rollout_id <> a.rollout_id AND l.state = 'ok' AND l.to_version <> a.to_version
    AND (l.state_changed_at, l.rollout_id) > (a.state_changed_at, a.rollout_id))`;
