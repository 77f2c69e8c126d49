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

const CRITICAL: readonly AuthorityState[] = ['partitioned', 'fenced'];

/** What is risky about the authority of a cluster, for the screens that show all risks. */
@Injectable()
export class AuthorityRisks {
  constructor(private readonly lapses: MassLapsesRepository) {}

  async list(tx: ReadTx, clusterId: string): Promise<AuthorityRisk[]> {
    const [authority] = await tx.query<{
      state: AuthorityState;
      since: Date;
      held: Date | null;
      heldSince: Date;
    }>(sql`
      SELECT a.state, a.since, ${TAKEOVERS_HELD_UNTIL} AS held, a.takeovers_held_since AS "heldSince"
        FROM cluster_authorities AS a WHERE a.cluster_id = ${clusterId}::uuid`);
    if (authority === undefined) return [];
    const { state, since, held, heldSince } = authority;
    const risks: AuthorityRisk[] = [];
    if (state !== 'authoritative') {
      const severity = CRITICAL.includes(state) ? 'critical' : 'warning';
      risks.push({ kind: `authority_${state}`, since, severity });
    }
    for (const lapse of await this.lapses.list(tx, [clusterId]))
      risks.push({ kind: `mass_lapse_of_${lapse.kind}`, since: lapse.since, severity: 'critical' });
    if (held !== null) risks.push({ kind: 'takeovers_held', since: heldSince, severity: 'warning' });
    return risks;
  }
}
