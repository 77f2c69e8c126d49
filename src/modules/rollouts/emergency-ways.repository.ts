import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import { word, words } from '../../common/database/words.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import type { Assignment } from './assignment.js';
import type { Moved } from './assignments.repository.js';
import { decidesNow, IS_AWAY_ON_ANOTHER, isHeld } from './emergency-coverage.js';
import type { AssignmentState, Direction } from './engine/assignment-state.js';
import type { Rollout } from './rollout.js';

/** A way as it is planned anew. */
export type NewWay = Pick<
  Assignment,
  'nodeId' | 'fromVersion' | 'toVersion' | 'toReleaseId' | 'os' | 'arch' | 'isStop'
>;

const IS_HELD_FORWARD = sql`a.direction = 'forward' AND a.state = 'deferred' AND a.state_reason = 'emergency_pin'`;

/** The way `a` was left for later, and its node has come to another version since. */
export const HAS_MOVED_SINCE = sql`EXISTS (SELECT 1 FROM rollout_assignments AS l
  WHERE l.cluster_id = a.cluster_id AND l.product_id = a.product_id AND l.node_id = a.node_id AND l.rollout_id <> a.rollout_id
    AND l.state = 'ok' AND l.state_changed_at >= a.state_changed_at AND l.to_version IS DISTINCT FROM a.from_version)`;

/** The ways of nodes that an emergency pin decides about, or has decided about. */
@Injectable()
export class EmergencyWaysRepository {
  constructor(private readonly members: MembershipsReadModel) {}

  /** Nodes that have a pin of their own, too, are led there when nothing else has them. */
  async pinsWait(tx: Tx, rolloutId: string): Promise<void> {
    await tx.query(sql`
      UPDATE version_pins AS v SET leads_later = true
        FROM emergency_pins AS p JOIN emergency_pin_nodes AS e ON e.pin_id = p.id
       WHERE p.rollout_id = ${rolloutId}::uuid AND v.cluster_id = e.cluster_id AND v.product_id = e.product_id
         AND v.node_id = e.node_id`);
  }

  /** Other rollouts that have begun and have something before nodes of this one. */
  async heldRollouts(tx: ReadTx, rolloutId: string): Promise<string[]> {
    const rows = await tx.query<{ id: string }>(sql`
      SELECT DISTINCT a.rollout_id AS id
        FROM emergency_pins AS p JOIN emergency_pin_nodes AS e ON e.pin_id = p.id
        JOIN rollout_assignments AS a ON a.cluster_id = e.cluster_id AND a.node_id = e.node_id AND a.product_id = e.product_id
        JOIN rollouts AS r ON r.id = a.rollout_id
       WHERE p.rollout_id = ${rolloutId}::uuid AND a.rollout_id <> ${rolloutId}::uuid
         AND a.state IN ('planned', 'offered', 'deferred') AND (r.state IN ('running', 'paused') OR a.direction = 'back') ORDER BY 1`);
    return rows.map(({ id }) => id);
  }

  /** Whether there is an emergency pin of the product, or nodes of the rollout that one has held. */
  async concerns(tx: ReadTx, { id, clusterId, productId }: Rollout): Promise<boolean> {
    const [row] = await tx.query<{ concerns: boolean }>(sql`
      SELECT EXISTS (SELECT 1 FROM emergency_pins AS p
                      WHERE p.cluster_id = ${clusterId}::uuid AND p.product_id = ${productId}::uuid AND p.ended_at IS NULL)
          OR EXISTS (SELECT 1 FROM rollout_assignments AS a WHERE a.rollout_id = ${id}::uuid AND ${IS_HELD_FORWARD})
             AS concerns`);
    return row?.concerns ?? false;
  }

  /** Ways of nodes that an emergency pin leads elsewhere. Looked for from the nodes that are covered. */
  async toHold(
    tx: ReadTx,
    rolloutId: string,
    direction: Direction,
    states: readonly AssignmentState[],
    limit: number,
  ): Promise<string[]> {
    const rows = await tx.query<{ id: string }>(sql`
      SELECT a.id FROM ${this.covered(tx, rolloutId)}
       WHERE a.direction = ${word(direction)} AND a.state IN (${words(states)}) ORDER BY a.state, a.wave_position, a.place LIMIT ${limit}`);
    return rows.map(({ id }) => id);
  }

  /** Who was away when its turn came is held all the same. */
  async markHeld(tx: Tx, { id: rolloutId, clusterId }: Rollout): Promise<void> {
    await tx.query(sql`
      UPDATE rollout_assignments AS m SET state_reason = 'emergency_pin'
       WHERE m.state = 'deferred' AND m.state_reason IS DISTINCT FROM 'emergency_pin' AND m.id IN (
             SELECT a.id FROM ${this.covered(tx, rolloutId)} WHERE a.direction = 'forward' AND a.state = 'deferred')`);
    // When nobody holds it any more and it is away, that is all that keeps it.
    await tx.query(sql`
      UPDATE rollout_assignments AS a SET state_reason = 'offline'
       WHERE a.rollout_id = ${rolloutId}::uuid AND ${IS_HELD_FORWARD} AND NOT ${isHeld(tx)} AND ${this.members.isAway(clusterId, sql`a.node_id`)}`);
  }

  async holdsBack(tx: ReadTx, rolloutId: string): Promise<boolean> {
    const rows = await tx.query(sql`
      SELECT 1 AS held FROM ${this.covered(tx, rolloutId)} WHERE a.direction = 'back' AND a.state = 'planned' LIMIT 1`);
    return rows.length === 1;
  }

  /** Names of waves of which nodes are held: they wait for these where they have not proved the version without. */
  async wavesHeld(tx: ReadTx, rolloutId: string): Promise<string[]> {
    const rows = await tx.query<{ name: string }>(sql`
      SELECT w.name FROM rollout_waves AS w WHERE w.rollout_id = ${rolloutId}::uuid AND EXISTS (
             SELECT 1 FROM rollout_assignments AS a WHERE a.rollout_id = w.rollout_id AND a.wave_position = w.position
                AND ${IS_HELD_FORWARD}) ORDER BY w.position`);
    return rows.map(({ name }) => name);
  }

  /** Of these nodes those that were held, and may go on; also those that were away when the end of that came. */
  async noLongerHeld(tx: ReadTx, rolloutId: string, nodeIds: readonly string[]): Promise<string[]> {
    const rows = await tx.query<{ nodeId: string }>(sql`
      SELECT a.node_id AS "nodeId" FROM rollout_assignments AS a
       WHERE a.rollout_id = ${rolloutId}::uuid AND a.node_id = ANY(${[...nodeIds]}::uuid[])
         AND a.direction = 'forward' AND a.state = 'deferred' AND (a.state_reason = 'emergency_pin' OR ${HAS_MOVED_SINCE})
         AND NOT ${isHeld(tx)} AND NOT ${IS_AWAY_ON_ANOTHER} ORDER BY a.wave_position, a.place`);
    return rows.map(({ nodeId }) => nodeId);
  }

  /** Nodes that were left out for something that may be over; also those that had the version and have come to another by
   *  what they had begun. Those of which more is to be hoped first. */
  async toReconsider(tx: ReadTx, { id, targetVersion }: Rollout, limit: number): Promise<string[]> {
    const rows = await tx.query<{ nodeId: string }>(sql`
      SELECT a.node_id AS "nodeId" FROM rollout_assignments AS a
        LEFT JOIN LATERAL (
          SELECT l.to_version FROM rollout_assignments AS l
           WHERE l.cluster_id = a.cluster_id AND l.product_id = a.product_id AND l.node_id = a.node_id
             AND l.id <> a.id AND l.state = 'ok'
           ORDER BY l.state_changed_at DESC, l.rollout_id DESC LIMIT 1) AS l ON a.state_reason = 'already_on_target'
       WHERE a.rollout_id = ${id}::uuid AND a.direction = 'forward' AND a.state = 'skipped' AND NOT ${IS_AWAY_ON_ANOTHER}
         AND (a.state_reason <> 'already_on_target' OR l.to_version <> ${targetVersion})
       ORDER BY a.state_reason IN ('update_in_progress', 'already_on_target') DESC, a.node_id LIMIT ${limit}`);
    return rows.map(({ nodeId }) => nodeId);
  }

  /** Puts these ways before their nodes again. Where the way is another than it was, the node begins anew. */
  plan(tx: Tx, rollout: Rollout, from: AssignmentState, rows: readonly NewWay[]): Promise<Moved[]> {
    if (rows.length === 0) return Promise.resolve([]);
    const isSame = sql`((a.step_from, a.to_version, a.os, a.arch) IS NOT DISTINCT FROM (n."fromVersion", n."toVersion", n.os, n.arch))`;
    return tx.query<Moved>(sql`
      UPDATE rollout_assignments AS a
         SET state = 'planned', state_reason = NULL, state_changed_at = ${tx.now}, wave_position = coalesce(a.wave_position, 0),
             from_version = CASE WHEN ${isSame} THEN a.from_version ELSE n."fromVersion" END, step_from = n."fromVersion",
             to_version = n."toVersion", to_release_id = n."toReleaseId", is_stop = n."isStop",
             os = n.os, arch = n.arch,
             epoch = CASE WHEN ${isSame} THEN a.epoch ELSE greatest(a.epoch + 1, coalesce(k.epoch, 1)) END,
             node_state = CASE WHEN ${isSame} THEN a.node_state ELSE 'idle' END,
             attempt = CASE WHEN ${isSame} THEN a.attempt ELSE 1 END,
             sequence = CASE WHEN ${isSame} THEN a.sequence ELSE 0 END
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS n ("nodeId" uuid, "fromVersion" text, "toVersion" text,
             "toReleaseId" uuid, os text, arch text, "isStop" boolean)
        LEFT JOIN node_versions AS k ON k.cluster_id = ${rollout.clusterId}::uuid AND k.product_id = ${rollout.productId}::uuid
             AND k.node_id = n."nodeId"
       WHERE a.rollout_id = ${rollout.id}::uuid AND a.direction = 'forward' AND a.node_id = n."nodeId" AND a.state = ${from}
       RETURNING a.id, a.node_id AS "nodeId", ${from} AS "from"`);
  }

  /** The nodes are left out of the rollout after all. */
  leaveOut(
    tx: Tx,
    rolloutId: string,
    from: AssignmentState,
    nodeIds: readonly string[],
    reason: string,
  ): Promise<Moved[]> {
    return tx.query<Moved>(sql`
      UPDATE rollout_assignments AS a SET state = 'skipped', state_reason = ${reason}, state_changed_at = ${tx.now}
       WHERE a.rollout_id = ${rolloutId}::uuid AND a.node_id = ANY(${[...nodeIds]}::uuid[])
         AND a.direction = 'forward' AND a.state = ${from}
       RETURNING a.id, a.node_id AS "nodeId", ${from} AS "from"`);
  }

  /** What keeps nodes out has become something else. */
  async explain(tx: Tx, rolloutId: string, nodeIds: readonly string[], reason: string): Promise<void> {
    await tx.query(sql`
      UPDATE rollout_assignments AS a SET state_reason = ${reason}
       WHERE a.rollout_id = ${rolloutId}::uuid AND a.direction = 'forward' AND a.node_id = ANY(${[...nodeIds]}::uuid[])
         AND a.state = 'skipped' AND a.state_reason <> ${reason}`);
  }

  private covered(tx: ReadTx, rolloutId: string): Sql {
    return sql`(SELECT x.* FROM emergency_pins AS p JOIN emergency_pin_nodes AS e ON e.pin_id = p.id
        JOIN rollout_assignments AS x ON x.cluster_id = e.cluster_id AND x.node_id = e.node_id AND x.product_id = e.product_id
       WHERE x.rollout_id = ${rolloutId}::uuid AND p.rollout_id <> ${rolloutId}::uuid AND ${decidesNow(tx)}) AS a`;
  }
}
