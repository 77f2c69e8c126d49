import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { PlatformPolicyView } from './platform-policy.schema.js';

@Injectable()
export class PlatformPolicyRepository {
  find(tx: ReadTx): Promise<PlatformPolicyView> {
    return this.select(tx, sql``);
  }

  lock(tx: Tx): Promise<PlatformPolicyView> {
    return this.select(tx, sql`FOR UPDATE`);
  }

  async update(tx: Tx, { releaseSelfApproval, fourEyes }: PlatformPolicyView): Promise<void> {
    await tx.query(sql`
      UPDATE platform_policy AS p SET release_self_approval = ${releaseSelfApproval},
             four_eyes = ${JSON.stringify(fourEyes)}::jsonb, updated_at = ${tx.now}`);
  }

  private async select(tx: ReadTx, lock: Sql): Promise<PlatformPolicyView> {
    const [row] = await tx.query<PlatformPolicyView>(sql`
      SELECT p.release_self_approval AS "releaseSelfApproval", p.four_eyes AS "fourEyes"
        FROM platform_policy AS p ${lock}`);
    if (row === undefined) throw new Error('the platform has no policy');
    return row;
  }
}
