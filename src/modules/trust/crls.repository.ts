import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';

/** A signed revocation list with what it was made for. */
export interface StoredCrl {
  epoch: number;
  issue: number;
  der: Buffer;
}

@Injectable()
export class CrlsRepository {
  /** The cluster's revocation epoch; null when there is no such cluster. */
  async epoch(tx: ReadTx, clusterId: string): Promise<number | null> {
    const [row] = await tx.query<{ epoch: number }>(sql`
      SELECT c.revocation_epoch AS epoch FROM clusters AS c WHERE c.id = ${clusterId}::uuid`);
    return row?.epoch ?? null;
  }

  async find(tx: ReadTx, clusterId: string, authorityKid: string): Promise<StoredCrl | null> {
    const [row] = await tx.query<StoredCrl>(sql`
      SELECT l.epoch, l.issue, l.der FROM cluster_crls AS l
       WHERE l.cluster_id = ${clusterId}::uuid AND l.authority_kid = ${authorityKid}`);
    return row ?? null;
  }

  /** Keeps a list unless one as new is kept already, and returns the one that is: the same for all who race. */
  async keep(tx: Tx, clusterId: string, authorityKid: string, crl: StoredCrl): Promise<StoredCrl> {
    const [row] = await tx.query<StoredCrl>(sql`
      INSERT INTO cluster_crls AS l (cluster_id, authority_kid, epoch, issue, der)
      VALUES (${clusterId}::uuid, ${authorityKid}, ${crl.epoch}, ${crl.issue}, ${crl.der})
      ON CONFLICT (cluster_id, authority_kid) DO UPDATE SET epoch = excluded.epoch, issue = excluded.issue, der = excluded.der
       WHERE (excluded.epoch, excluded.issue) > (l.epoch, l.issue)
      RETURNING l.epoch, l.issue, l.der`);
    const kept = row ?? (await this.find(tx, clusterId, authorityKid));
    if (kept === null) throw new Error('the revocation list was not kept');
    return kept;
  }
}
