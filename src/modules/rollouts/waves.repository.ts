import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { WaveAcknowledgement } from './engine/resumption.js';
import type { WaveFacts } from './engine/rollout-facts.js';
import type { WaveState } from './engine/wave-state.js';

/** A wave as it is kept; who is in it is counted elsewhere. */
export interface Wave extends Omit<WaveFacts, 'counts' | 'isApproved'> {
  rolloutId: string;
  position: number;
  approvedAt: Date | null;
}

interface Row extends Omit<Wave, 'acknowledged'> {
  acknowledgedFailures: number;
  isAccepted: boolean;
}

@Injectable()
export class WavesRepository {
  async insert(
    tx: Tx,
    rolloutId: string,
    waves: readonly Pick<
      Wave,
      'name' | 'dependsOn' | 'requiresApproval' | 'soakSeconds' | 'plannedMembers'
    >[],
  ): Promise<void> {
    const rows = waves.map(
      ({ name, dependsOn, requiresApproval, soakSeconds, plannedMembers }, position) => ({
        position,
        name,
        depends_on: dependsOn,
        requires_approval: requiresApproval,
        soak_seconds: soakSeconds,
        planned_members: plannedMembers,
      }),
    );
    await tx.query(sql`
      INSERT INTO rollout_waves (rollout_id, position, name, depends_on, requires_approval, soak_seconds, planned_members, state)
      SELECT ${rolloutId}::uuid, w.position, w.name, w.depends_on, w.requires_approval, w.soak_seconds, w.planned_members, 'pending'
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS w (position integer, name text, depends_on text[],
             requires_approval boolean, soak_seconds integer, planned_members integer)`);
  }

  /** In their order. */
  async list(tx: ReadTx, rolloutIds: readonly string[]): Promise<Wave[]> {
    const rows = await tx.query<Row>(sql`
      SELECT w.rollout_id AS "rolloutId", w.position, w.name, w.state, w.depends_on AS "dependsOn",
             w.requires_approval AS "requiresApproval", w.approved_at AS "approvedAt", w.soak_seconds AS "soakSeconds",
             w.planned_members AS "plannedMembers", w.soaked_ms::float8 AS "soakedMs", w.soaking_since AS "soakingSince",
             w.acknowledged_failures AS "acknowledgedFailures", w.is_accepted AS "isAccepted"
        FROM rollout_waves AS w WHERE w.rollout_id = ANY(${[...rolloutIds]}::uuid[]) ORDER BY w.rollout_id, w.position`);
    return rows.map(({ acknowledgedFailures, isAccepted, ...wave }) => ({
      ...wave,
      acknowledged: { failures: acknowledgedFailures, accepted: isAccepted },
    }));
  }

  async move(tx: Tx, rolloutId: string, name: string, to: WaveState): Promise<void> {
    await tx.query(sql`
      UPDATE rollout_waves AS w
         SET state = ${to}, soaking_since = CASE WHEN ${to === 'soaking'} THEN ${tx.now} ELSE w.soaking_since END
       WHERE w.rollout_id = ${rolloutId}::uuid AND w.name = ${name}`);
  }

  /** Stops those that are under way, for good, and tells which these were. */
  halt(tx: Tx, rolloutId: string): Promise<Pick<Wave, 'name' | 'state'>[]> {
    return tx.query(sql`
      WITH running AS MATERIALIZED (
        SELECT w.position, w.name, w.state FROM rollout_waves AS w
         WHERE w.rollout_id = ${rolloutId}::uuid AND w.state IN ('active', 'soaking') ORDER BY w.position)
      UPDATE rollout_waves AS h SET state = 'halted' FROM running AS r
       WHERE h.rollout_id = ${rolloutId}::uuid AND h.position = r.position RETURNING r.name, r.state`);
  }

  /** Writes down what has soaked until now, since the clock stands still from here on. */
  async stopSoaking(tx: Tx, rolloutId: string, runningSince: Date): Promise<void> {
    await tx.query(sql`
      UPDATE rollout_waves AS w
         SET soaked_ms = w.soaked_ms
             + floor(extract(epoch FROM ${tx.now}::timestamptz - greatest(w.soaking_since, ${runningSince}::timestamptz)) * 1000)::bigint
       WHERE w.rollout_id = ${rolloutId}::uuid AND w.state = 'soaking'`);
  }

  async acknowledge(tx: Tx, rolloutId: string, acknowledged: readonly WaveAcknowledgement[]): Promise<void> {
    await tx.query(sql`
      UPDATE rollout_waves AS w SET acknowledged_failures = a.failures, is_accepted = a.accepted
        FROM jsonb_to_recordset(${JSON.stringify(acknowledged)}::jsonb) AS a (wave text, failures integer, accepted boolean)
       WHERE w.rollout_id = ${rolloutId}::uuid AND w.name = a.wave`);
  }

  async approve(tx: Tx, rolloutId: string, name: string): Promise<void> {
    await tx.query(sql`
      UPDATE rollout_waves AS w SET approved_at = ${tx.now} WHERE w.rollout_id = ${rolloutId}::uuid AND w.name = ${name}`);
  }
}
