import { Injectable } from '@nestjs/common';
import { Database } from '../../common/database/database.js';
import { sql } from '../../common/database/sql.js';
import type { Tx } from '../../common/transaction/tx.js';

/** Whose ids those of a node's assertions are: one membership's, so that nothing is shared between clusters. */
export function membershipIssuer({ clusterId, nodeId }: { clusterId: string; nodeId: string }): string {
  return `${clusterId}/${nodeId}`;
}

/** Ids of assertions that were accepted. One is accepted once, on any instance. */
@Injectable()
export class AssertionIds {
  constructor(private readonly database: Database) {}

  /** Takes the id; false when it was taken before. @param expiresAt until when it must be remembered
   *  @param tx where the id is to be free again if the transaction comes to nothing */
  async take(issuer: string, jti: string, expiresAt: Date, tx?: Tx): Promise<boolean> {
    const rows = await (tx ?? this.database).query(sql`
      INSERT INTO used_assertion_ids (issuer, jti, expires_at) VALUES (${issuer}, ${jti}, ${expiresAt})
      ON CONFLICT DO NOTHING RETURNING jti`);
    return rows.length === 1;
  }
}
