import { Injectable } from '@nestjs/common';
import { empty, join, type Sql, sql } from '../../common/database/sql.js';

/** Risky states of the member `m` under the policy `p`: a kind for each row of `from`, or one alone, for which `where` holds. */
export interface RiskFacet {
  kind: Sql;
  from?: Sql;
  where: Sql;
}

/**
 * What modules above know of a node, as SQL over the membership `m` (and its policy `p`), so that lists can show it
 * and filter by it in one statement although this module knows none of them.
 */
@Injectable()
export class NodeFacets {
  private roleNames: Sql = sql`ARRAY[]::text[]`;
  private certificateEnd: Sql = sql`NULL::timestamptz`;
  private readonly risks: RiskFacet[] = [];

  /** Sets the expression of the node's role names, a `text[]`. */
  setRoles(expression: Sql): void {
    this.roleNames = expression;
  }

  /** Sets the expression of the instant at which the node's certificate ends, a `timestamptz`; NULL: it has none that counts. */
  setCertificateEnd(expression: Sql): void {
    this.certificateEnd = expression;
  }

  addRiskyStates(facet: RiskFacet): void {
    this.risks.push(facet);
  }

  get roles(): Sql {
    return this.roleNames;
  }

  get certificateEndsAt(): Sql {
    return this.certificateEnd;
  }

  /** The kinds of the node's risky states, a `text[]`: by look-ups of this node alone. */
  get riskyStates(): Sql {
    const kinds = this.risks.map(
      ({ kind, from, where }) =>
        sql`ARRAY(SELECT DISTINCT ${kind} ${from === undefined ? empty : sql`FROM ${from}`} WHERE ${where} ORDER BY 1)`,
    );
    return kinds.length === 0 ? sql`ARRAY[]::text[]` : sql`(${join(kinds, ' || ')})`;
  }

  /**
   * The unrevoked members that are in a risky state, as a relation of `cluster_id`, `node_id` and `risks`, which holds
   * what {@link riskyStates} does: by one look for each facet, however many members there are.
   * @param among which members `m` are looked at
   */
  atRisk(among: Sql): Sql {
    const looks = this.risks.map(
      ({ kind, from, where }, at) => sql`
        SELECT m.cluster_id, m.node_id, ${at}::int AS at, ${kind} AS kind
          FROM cluster_memberships AS m JOIN cluster_policies AS p ON p.cluster_id = m.cluster_id
               ${from === undefined ? empty : sql`CROSS JOIN ${from}`}
         WHERE (${among}) AND m.membership_status <> 'revoked' AND ${where}`,
    );
    // Hardly anybody is at risk, which no planner can know: without the fence it would sort for thousands.
    return sql`(
      WITH risk AS MATERIALIZED (${join(looks, ' UNION ')})
      SELECT k.cluster_id, k.node_id, array_agg(k.kind ORDER BY k.at, k.kind) AS risks
        FROM risk AS k GROUP BY k.cluster_id, k.node_id)`;
  }
}
