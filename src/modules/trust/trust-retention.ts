import { Injectable } from '@nestjs/common';
import { Database } from '../../common/database/database.js';
import { BATCH_ROWS } from '../../common/database/remove-in-batches.js';
import { sql } from '../../common/database/sql.js';
import { Jobs } from '../../common/jobs/jobs.js';
import { Retention } from '../../common/retention/retention.js';

/** How long a certificate stays in the lists after it expired, and an acknowledgement after it came. */
const KEPT_DAYS = 90;

/**
 * Removes certificates that expired long ago, except for the last of each node, and the instants of acknowledgements:
 * a node that renews daily leaves a row each time. Whether a node applies a revocation does not depend on them.
 */
@Injectable()
export class TrustRetention extends Retention {
  constructor(database: Database, jobs: Jobs) {
    super(database, jobs, 'trust-retention', [OLD_CERTIFICATES, OLD_ACKNOWLEDGEMENTS]);
  }
}

const OLD_CERTIFICATES = sql`
  WITH removed AS (
    DELETE FROM node_certificates AS n WHERE n.ctid = ANY(ARRAY(
      SELECT o.ctid FROM node_certificates AS o
       WHERE o.not_after < now() - make_interval(days => ${KEPT_DAYS})
         AND EXISTS (SELECT 1 FROM node_certificates AS later
                      WHERE later.cluster_id = o.cluster_id AND later.node_id = o.node_id
                        AND (later.issued_at, later.serial) > (o.issued_at, o.serial))
       LIMIT ${BATCH_ROWS}))
    RETURNING 1
  )
  SELECT count(*)::int AS rows FROM removed`;

const OLD_ACKNOWLEDGEMENTS = sql`
  WITH removed AS (
    DELETE FROM revocation_acknowledgements AS a WHERE a.ctid = ANY(ARRAY(
      SELECT o.ctid FROM revocation_acknowledgements AS o
       WHERE o.first_seen_at < now() - make_interval(days => ${KEPT_DAYS}) LIMIT ${BATCH_ROWS}))
    RETURNING 1
  )
  SELECT count(*)::int AS rows FROM removed`;
