import { Injectable, type OnModuleInit } from '@nestjs/common';
import { FABRIC_NOW } from '../../common/database/fabric-now.js';
import { sql } from '../../common/database/sql.js';
import { Jobs } from '../../common/jobs/jobs.js';
import { systemActor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { NodeFacets } from './node-facets.js';
import { countedNodeTables, HEALTH_EXPRESSION } from './nodes.sql.js';

const SWEEP_SECONDS = 10;
/** Transitions written down in one transaction. */
const BATCH = 500;

interface Transition {
  clusterId: string;
  nodeId: string;
  name: string;
  before: string | null;
  after: string;
  riskyStates: string[];
}

/** Writes down what every reader knows already: that a node went stale, offline or came back. Decides nothing. */
@Injectable()
export class HealthWatch implements OnModuleInit {
  constructor(
    private readonly jobs: Jobs,
    private readonly transactor: Transactor,
    private readonly facets: NodeFacets,
  ) {}

  onModuleInit(): void {
    this.jobs.define({
      queue: 'nodes',
      name: 'health',
      everySeconds: SWEEP_SECONDS,
      run: () => this.sweep(),
    });
  }

  /** Writes down every transition that has no record yet, by the time that decides over what rests on its age. */
  async sweep(): Promise<void> {
    while ((await this.writeSome()) === BATCH);
  }

  private writeSome(): Promise<number> {
    return this.transactor.observe(systemActor('health-watch'), async (tx) => {
      // One sweep at a time writes; another one waits, and has then nothing left of what was so when it began.
      await tx.query(sql`SELECT pg_advisory_xact_lock(7411230002)`);
      const transitions = await tx.query<Transition>(sql`
        WITH changed AS (
          SELECT m.cluster_id, m.node_id, m.name, r.health AS before, ${HEALTH_EXPRESSION} AS after,
                 coalesce(x.risks, ARRAY[]::text[]) AS risks
            FROM ${countedNodeTables(this.facets, sql`true`)}
            LEFT JOIN node_health_records AS r ON r.cluster_id = m.cluster_id AND r.node_id = m.node_id
           WHERE m.membership_status <> 'revoked' AND l.last_seen_at IS NOT NULL
             AND ${HEALTH_EXPRESSION} IS DISTINCT FROM r.health
           ORDER BY m.node_id LIMIT ${BATCH}
        ), recorded AS (
          INSERT INTO node_health_records AS r (cluster_id, node_id, health, since)
          SELECT c.cluster_id, c.node_id, c.after, ${FABRIC_NOW} FROM changed AS c
          ON CONFLICT (cluster_id, node_id) DO UPDATE SET health = excluded.health, since = excluded.since
        )
        SELECT c.cluster_id AS "clusterId", c.node_id AS "nodeId", c.name, c.before, c.after, c.risks AS "riskyStates"
          FROM changed AS c`);
      return { result: transitions.length, events: transitions.map(healthChanged) };
    });
  }
}

function healthChanged({ clusterId, nodeId, name, before, after, riskyStates }: Transition) {
  return {
    action: 'node.health_changed' as const,
    resource: { type: 'node', id: nodeId, name },
    clusterId,
    outcome: 'success' as const,
    highRisk: false,
    reason: null,
    before: { health: before },
    after: { health: after, riskyStates },
  };
}
