import { Injectable } from '@nestjs/common';
import { Database } from '../../common/database/database.js';
import { BATCH_ROWS } from '../../common/database/remove-in-batches.js';
import { sql } from '../../common/database/sql.js';
import { Jobs } from '../../common/jobs/jobs.js';
import { Retention } from '../../common/retention/retention.js';

/** How long a change of a report is kept, and all that is left of a membership after it ended. */
const KEPT_DAYS = 30;
/** Changes that are kept of one workload: one that fails every minute would fill the table. */
const KEPT_CHANGES = 500;
/** Workloads with a change in this time are counted: the time between two runs, and one that was missed. */
const COUNTED_SECONDS = 3 * Retention.EVERY_SECONDS;

/** Removes the changes of reports that are old or too many, and the workloads of memberships that ended long ago. */
@Injectable()
export class WorkloadRetention extends Retention {
  constructor(database: Database, jobs: Jobs) {
    super(database, jobs, 'workload-retention', [OLD_CHANGES, TOO_MANY_CHANGES, ENDED_WORKLOADS]);
  }
}

const OLD_CHANGES = sql`
  WITH removed AS (
    DELETE FROM node_service_transitions AS t WHERE t.ctid = ANY(ARRAY(
      SELECT o.ctid FROM node_service_transitions AS o
       WHERE o.occurred_at < now() - make_interval(days => ${KEPT_DAYS}) LIMIT ${BATCH_ROWS}))
    RETURNING 1
  )
  SELECT count(*)::int AS rows FROM removed`;

const TOO_MANY_CHANGES = sql`
  WITH removed AS (
    DELETE FROM node_service_transitions AS t WHERE t.ctid = ANY(ARRAY(
      SELECT o.ctid
        FROM (SELECT DISTINCT r.cluster_id, r.node_id, r.service_type FROM node_service_transitions AS r
               WHERE r.occurred_at > now() - make_interval(secs => ${COUNTED_SECONDS})) AS busy
       CROSS JOIN LATERAL (
         SELECT e.ctid FROM node_service_transitions AS e
          WHERE e.cluster_id = busy.cluster_id AND e.node_id = busy.node_id AND e.service_type = busy.service_type
          ORDER BY e.occurred_at DESC, e.id DESC OFFSET ${KEPT_CHANGES}) AS o
       LIMIT ${BATCH_ROWS}))
    RETURNING 1
  )
  SELECT count(*)::int AS rows FROM removed`;

const ENDED_WORKLOADS = sql`
  WITH removed AS (
    DELETE FROM node_service_instances AS w WHERE w.ctid = ANY(ARRAY(
      SELECT o.ctid FROM cluster_memberships AS m
        JOIN node_service_instances AS o ON o.cluster_id = m.cluster_id AND o.node_id = m.node_id
       WHERE m.revoked_at < now() - make_interval(days => ${KEPT_DAYS}) LIMIT ${BATCH_ROWS}))
    RETURNING 1
  )
  SELECT count(*)::int AS rows FROM removed`;
