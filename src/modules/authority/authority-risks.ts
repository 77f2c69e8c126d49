import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { TAKEOVERS_HELD_UNTIL } from './authority.sql.js';
import type { AuthorityState } from './authority-transition.js';
import { MassLapsesRepository } from './mass-lapses.repository.js';

/** Something about the authority of a cluster that an operator should know. */
export interface AuthorityRisk {
  kind: string;
  since: Date;
  severity: 'warning' | 'critical';
}

interface AuthorityFacts {
  clusterId: string;
  state: AuthorityState;
  since: Date;
  /** null: takeovers are not held. */
  held: Date | null;
  heldSince: Date;
}

const CRITICAL: readonly AuthorityState[] = ['partitioned', 'fenced'];

/** What is risky about the authority of clusters, for the screens that show all risks. */
@Injectable()
export class AuthorityRisks {
  constructor(private readonly lapses: MassLapsesRepository) {}

  /** By cluster, in the order of their kinds; every one of the clusters is in the map. */
  async byCluster(tx: ReadTx, clusterIds: readonly string[]): Promise<Map<string, AuthorityRisk[]>> {
    const authorities = await tx.query<AuthorityFacts>(sql`
      SELECT a.cluster_id AS "clusterId", a.state, a.since, ${TAKEOVERS_HELD_UNTIL} AS held,
             a.takeovers_held_since AS "heldSince"
        FROM cluster_authorities AS a WHERE a.cluster_id = ANY(${clusterIds}::uuid[])`);
    const risks = new Map<string, AuthorityRisk[]>(clusterIds.map((id) => [id, []]));
    for (const { clusterId, state, since } of authorities) {
      if (state === 'authoritative') continue;
      const severity = CRITICAL.includes(state) ? 'critical' : 'warning';
      risks.get(clusterId)?.push({ kind: `authority_${state}`, since, severity });
    }
    for (const { clusterId, kind, since } of await this.lapses.list(tx, clusterIds))
      risks.get(clusterId)?.push({ kind: `mass_lapse_of_${kind}`, since, severity: 'critical' });
    for (const { clusterId, held, heldSince } of authorities)
      if (held !== null)
        risks.get(clusterId)?.push({ kind: 'takeovers_held', since: heldSince, severity: 'warning' });
    return risks;
  }
}
