import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { Actor } from '../../common/request/actor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';

/** Why something was done. */
export interface NewDecision {
  rule: string;
  wave: string | null;
  fromState: string;
  toState: string;
  reason: string | null;
  inputs: object;
}

export interface Decision extends NewDecision {
  id: string;
  decidedAt: Date;
  decidedByType: string;
  decidedById: string;
}

@Injectable()
export class DecisionsRepository {
  /** Writes it down, for ever. Returns its id. */
  async add(tx: Tx, actor: Actor, rolloutId: string, decision: NewDecision): Promise<string> {
    const id = tx.newId();
    const { rule, wave, fromState, toState, reason, inputs } = decision;
    await tx.query(sql`
      INSERT INTO rollout_decisions (id, rollout_id, decided_at, decided_by_type, decided_by_id, rule, wave, from_state,
             to_state, reason, inputs)
      VALUES (${id}::uuid, ${rolloutId}::uuid, ${tx.now}, ${actor.type}, ${actor.id ?? ''}, ${rule}, ${wave}, ${fromState},
              ${toState}, ${reason}, ${JSON.stringify(inputs)}::jsonb)`);
    return id;
  }

  /** Newest first. */
  list(tx: ReadTx, rolloutId: string, after: CursorValues | null, limit: number): Promise<Decision[]> {
    const [decidedAt = null, id = null] = after ?? [];
    return tx.query<Decision>(sql`
      SELECT d.id, d.decided_at AS "decidedAt", d.decided_by_type AS "decidedByType", d.decided_by_id AS "decidedById",
             d.rule, d.wave, d.from_state AS "fromState", d.to_state AS "toState", d.reason, d.inputs
        FROM rollout_decisions AS d
       WHERE d.rollout_id = ${rolloutId}::uuid
         AND (${decidedAt}::timestamptz IS NULL OR (d.decided_at, d.id) < (${decidedAt}::timestamptz, ${id}::uuid))
       ORDER BY d.decided_at DESC, d.id DESC LIMIT ${limit + 1}`);
  }
}
