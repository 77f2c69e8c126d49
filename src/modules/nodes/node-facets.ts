import { Injectable } from '@nestjs/common';
import { join, type Sql, sql } from '../../common/database/sql.js';

/**
 * What modules above know of a node, as SQL over the membership `m` (and its policy `p`), so that lists can show it
 * and filter by it in one statement although this module knows none of them.
 */
@Injectable()
export class NodeFacets {
  private roleNames: Sql = sql`ARRAY[]::text[]`;
  private certificateEnd: Sql = sql`NULL::timestamptz`;
  private readonly risks: Sql[] = [];

  /** Sets the expression of the node's role names, a `text[]`. */
  setRoles(expression: Sql): void {
    this.roleNames = expression;
  }

  /** Sets the expression of the instant at which the node's certificate ends, a `timestamptz`; NULL: it has none that counts. */
  setCertificateEnd(expression: Sql): void {
    this.certificateEnd = expression;
  }

  /** Adds an expression of kinds of risky states, a `text[]`. */
  addRiskyStates(expression: Sql): void {
    this.risks.push(expression);
  }

  get roles(): Sql {
    return this.roleNames;
  }

  get certificateEndsAt(): Sql {
    return this.certificateEnd;
  }

  get riskyStates(): Sql {
    return this.risks.length === 0 ? sql`ARRAY[]::text[]` : sql`(${join(this.risks, ' || ')})`;
  }
}
