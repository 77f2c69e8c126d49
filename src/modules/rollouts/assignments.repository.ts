import { Injectable } from '@nestjs/common';
import { empty, join, type Sql, sql } from '../../common/database/sql.js';
import { word, words } from '../../common/database/words.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { Assignment, NewAssignment } from './assignment.js';
import { ASSIGNMENT_COLUMNS } from './assignments.sql.js';
import { IS_AWAY_ON_ANOTHER, isHeld } from './emergency-coverage.js';
import {
  type AssignmentState,
  type Direction,
  NEXT_ASSIGNMENT_STATES,
  REACHED_STATES,
} from './engine/assignment-state.js';
import type { Rollout } from './rollout.js';

/** An assignment that has moved. */
export interface Moved {
  id: string;
  nodeId: string;
  from: AssignmentState;
}

/** Which assignments of a rollout are to move. */
export interface Moving {
  rolloutId: string;
  direction?: Direction;
  from: readonly AssignmentState[];
  to: AssignmentState;
  reason?: string;
  where?: Sql;
  /** At most so many; absent: all. */
  limit?: number;
}

/** Assignments that stand in front, wave by wave: at most so many. */
export interface InFront {
  rolloutId: string;
  direction: Direction;
  states: readonly AssignmentState[];
  where?: Sql;
  limit: number;
  /** Only waves that are active, or have been. */
  inOpenWaves: boolean;
  /** So many in front of each wave are looked at, whether or not `where` holds for them; absent: as many as it takes. */
  among?: number;
}

/** Those in front that are to move. */
export type MovingInFront = Omit<InFront, 'states'> & Pick<Moving, 'from' | 'to' | 'reason'>;

type RolloutOf = Pick<Rollout, 'id' | 'clusterId' | 'productId'>;

const INSERTED_AT_ONCE = 5_000;
const BOTH: readonly Direction[] = ['forward', 'back'];

@Injectable()
export class AssignmentsRepository {
  /** Some thousands at a time, so that no statement, and none of its parameters, grows with the cluster. */
  async insert(tx: Tx, rollout: RolloutOf, rows: Iterable<NewAssignment>): Promise<void> {
    let some: NewAssignment[] = [];
    for (const row of rows) {
      some.push(row);
      if (some.length < INSERTED_AT_ONCE) continue;
      await this.insertSome(tx, rollout, some);
      some = [];
    }
    if (some.length > 0) await this.insertSome(tx, rollout, some);
  }

  private async insertSome(
    tx: Tx,
    { id, clusterId, productId }: RolloutOf,
    rows: readonly NewAssignment[],
  ): Promise<void> {
    const values = rows.map((row) => ({
      id: tx.newId(),
      node_id: row.nodeId,
      direction: row.direction,
      wave_position: row.wavePosition,
      place: row.place,
      state: row.state,
      state_reason: row.stateReason,
      from_version: row.fromVersion,
      to_version: row.toVersion,
      to_release_id: row.toReleaseId,
      os: row.os,
      arch: row.arch,
      is_stop: row.isStop,
      retries_left: row.retriesLeft,
    }));
    // A way back that was tried before begins anew: what the node reported of the last one is of an epoch that is over.
    await tx.query(sql`
      INSERT INTO rollout_assignments AS a (id, rollout_id, cluster_id, product_id, node_id, direction, wave_position, place,
             state, state_reason, from_version, step_from, to_version, to_release_id, os, arch, is_stop, retries_left, epoch, state_changed_at)
      SELECT v.id, ${id}::uuid, ${clusterId}::uuid, ${productId}::uuid, v.node_id, v.direction, v.wave_position, v.place,
             v.state, v.state_reason, v.from_version, v.from_version, v.to_version, v.to_release_id, v.os, v.arch, v.is_stop, v.retries_left,
             coalesce(k.epoch, 1), ${tx.now}
        FROM jsonb_to_recordset(${JSON.stringify(values)}::jsonb) AS v (id uuid, node_id uuid, direction text,
             wave_position integer, place integer, state text, state_reason text, from_version text, to_version text,
             to_release_id uuid, os text, arch text, is_stop boolean, retries_left integer)
        LEFT JOIN node_versions AS k ON k.cluster_id = ${clusterId}::uuid AND k.product_id = ${productId}::uuid AND k.node_id = v.node_id
      ON CONFLICT (rollout_id, node_id, direction) DO UPDATE
         SET state = excluded.state, state_reason = excluded.state_reason, to_version = excluded.to_version,
             to_release_id = excluded.to_release_id, epoch = a.epoch + 1, attempt = 1, sequence = 0, node_state = 'idle', retries_left = excluded.retries_left,
             state_changed_at = excluded.state_changed_at
       WHERE a.state IN ('failed', 'rolled_back', 'cancelled', 'skipped')`);
  }

  async find(tx: ReadTx, id: string): Promise<Assignment | null> {
    return (await this.findAll(tx, [id]))[0] ?? null;
  }

  findAll(tx: ReadTx, ids: readonly string[]): Promise<Assignment[]> {
    return tx.query<Assignment>(sql`
      SELECT ${ASSIGNMENT_COLUMNS} FROM rollout_assignments AS a WHERE a.id = ANY(${[...ids]}::uuid[])`);
  }

  /** Which rollouts these are of; for ever the same. */
  async rolloutsOf(query: ReadTx['query'], ids: readonly string[]): Promise<Map<string, string>> {
    const rows = await query<{ id: string; rolloutId: string }>(sql`
      SELECT a.id, a.rollout_id AS "rolloutId" FROM rollout_assignments AS a WHERE a.id = ANY(${[...ids]}::uuid[])`);
    return new Map(rows.map(({ id, rolloutId }) => [id, rolloutId]));
  }

  /** The ways of nodes in a rollout. */
  ofNodes(tx: ReadTx, rolloutId: string, nodeIds: readonly string[]): Promise<Assignment[]> {
    return tx.query<Assignment>(sql`
      SELECT ${ASSIGNMENT_COLUMNS} FROM rollout_assignments AS a
       WHERE a.rollout_id = ${rolloutId}::uuid AND a.node_id = ANY(${[...nodeIds]}::uuid[])`);
  }

  /** Nodes that have, or may have, the version of the rollout; those that were written off left out. Some of them, in the
   *  order of their ids. */
  reached(tx: ReadTx, rolloutId: string, after: string, limit: number): Promise<Assignment[]> {
    return tx.query<Assignment>(sql`
      SELECT ${ASSIGNMENT_COLUMNS} FROM rollout_assignments AS a
       WHERE a.rollout_id = ${rolloutId}::uuid AND a.direction = 'forward' AND a.state IN (${words(REACHED_STATES)})
         AND NOT a.is_written_off AND a.node_id > ${after}::uuid ORDER BY a.node_id LIMIT ${limit}`);
  }

  /** Of these nodes those that are, or may be, out of service for another rollout of the product. */
  async underWay(
    tx: ReadTx,
    clusterId: string,
    productId: string,
    nodeIds: readonly string[],
    rolloutId: string | null,
  ): Promise<Set<string>> {
    const rows = await tx.query<{ nodeId: string }>(sql`
      SELECT a.node_id AS "nodeId" FROM rollout_assignments AS a
       WHERE a.cluster_id = ${clusterId}::uuid AND a.product_id = ${productId}::uuid AND a.node_id = ANY(${[...nodeIds]}::uuid[])
         AND a.state IN ('granted', 'applying', 'health', 'lost') AND NOT a.is_written_off
         AND a.rollout_id IS DISTINCT FROM ${rolloutId}::uuid`);
    return new Set(rows.map(({ nodeId }) => nodeId));
  }

  /** Where rollouts of the product have last led these nodes, and when they arrived. */
  async arrivals(
    tx: ReadTx,
    clusterId: string,
    productId: string,
    nodeIds: readonly string[],
  ): Promise<Map<string, { version: string; at: Date }>> {
    const rows = await tx.query<{ nodeId: string; version: string; at: Date }>(sql`
      SELECT DISTINCT ON (a.node_id) a.node_id AS "nodeId", a.to_version AS version, a.state_changed_at AS at
        FROM rollout_assignments AS a
       WHERE a.cluster_id = ${clusterId}::uuid AND a.product_id = ${productId}::uuid AND a.node_id = ANY(${[...nodeIds]}::uuid[])
         AND a.state = 'ok' ORDER BY a.node_id, a.state_changed_at DESC, a.rollout_id DESC`);
    return new Map(rows.map(({ nodeId, version, at }) => [nodeId, { version, at }]));
  }

  /** What nodes of a rollout run; of whom nothing is known, where their ways begin.
   *  @param installed a table for each way `a`, of one row or none: `version` */
  async versionsOf(
    tx: ReadTx,
    rolloutId: string,
    nodeIds: readonly string[],
    installed: Sql,
  ): Promise<Map<string, string | null>> {
    const rows = await tx.query<{ nodeId: string; version: string | null }>(sql`
      SELECT a.node_id AS "nodeId", coalesce(i.version, a.step_from) AS version
        FROM rollout_assignments AS a LEFT JOIN LATERAL ${installed} AS i ON true
       WHERE a.rollout_id = ${rolloutId}::uuid AND a.direction = 'forward' AND a.node_id = ANY(${[...nodeIds]}::uuid[])`);
    return new Map(rows.map(({ nodeId, version }) => [nodeId, version]));
  }

  /** Other rollouts of the product that were to lead these nodes back from a version, and have not begun. */
  async waitingToLeadBack(
    tx: ReadTx,
    { id, clusterId, productId }: RolloutOf,
    nodeIds: readonly string[],
  ): Promise<string[]> {
    const rows = await tx.query<{ rolloutId: string }>(sql`
      SELECT DISTINCT a.rollout_id AS "rolloutId" FROM rollout_assignments AS a
       WHERE a.cluster_id = ${clusterId}::uuid AND a.product_id = ${productId}::uuid
         AND a.node_id = ANY(${[...nodeIds]}::uuid[]) AND a.rollout_id <> ${id}::uuid
         AND a.direction = 'back' AND a.state = 'planned' ORDER BY 1`);
    return rows.map(({ rolloutId }) => rolloutId);
  }

  /** Rollouts that have offered the node a way back to another version than this one. */
  async offeringBack(
    tx: ReadTx,
    {
      clusterId,
      productId,
      nodeId,
      version,
    }: { clusterId: string; productId: string; nodeId: string; version: string },
  ): Promise<string[]> {
    const rows = await tx.query<{ rolloutId: string }>(sql`
      SELECT a.rollout_id AS "rolloutId" FROM rollout_assignments AS a
       WHERE a.cluster_id = ${clusterId}::uuid AND a.product_id = ${productId}::uuid AND a.node_id = ${nodeId}::uuid
         AND a.direction = 'back' AND a.state = 'offered' AND a.to_version <> ${version} ORDER BY 1`);
    return rows.map(({ rolloutId }) => rolloutId);
  }

  async list(
    tx: ReadTx,
    rolloutId: string,
    state: string | undefined,
    after: CursorValues | null,
    limit: number,
  ): Promise<(Assignment & { wave: string | null })[]> {
    const [nodeId = null, direction = null] = after ?? [];
    return tx.query(sql`
      SELECT ${ASSIGNMENT_COLUMNS}, w.name AS wave FROM rollout_assignments AS a
        LEFT JOIN rollout_waves AS w ON w.rollout_id = a.rollout_id AND w.position = a.wave_position
       WHERE a.rollout_id = ${rolloutId}::uuid AND a.direction IN (${words(BOTH)})
         AND (${state ?? null}::text IS NULL OR a.state = ${state ?? null})
         AND (${nodeId}::uuid IS NULL OR (a.node_id, a.direction) > (${nodeId}::uuid, ${direction}::text))
       ORDER BY a.node_id, a.direction LIMIT ${limit + 1}`);
  }

  /** Moves all that may move. */
  move(tx: Tx, moving: Moving): Promise<Moved[]> {
    const { rolloutId, direction, from, to, reason, where = sql`true`, limit } = moving;
    const directions = direction === undefined ? BOTH : [direction];
    const chosen = sql`
      SELECT a.id, a.state FROM rollout_assignments AS a
       WHERE a.rollout_id = ${rolloutId}::uuid AND a.direction IN (${words(directions)})
         AND a.state IN (${words(allowed(from, to))}) AND ${where} ${limit === undefined ? empty : sql`LIMIT ${limit}`}`;
    return this.moveChosen(tx, chosen, to, reason);
  }

  /** Moves those in front that may move. What it costs depends on how many these are, not on how many stand behind. */
  moveInFront(tx: Tx, { from, to, reason, ...which }: MovingInFront): Promise<Moved[]> {
    const chosen = sql`SELECT a.id, a.state FROM ${inFront({ ...which, states: allowed(from, to) })}`;
    return this.moveChosen(tx, chosen, to, reason);
  }

  /** Moves those that a statement finds, which tells `id` and `state`. */
  moveChosen(tx: Tx, chosen: Sql, to: AssignmentState, reason?: string): Promise<Moved[]> {
    return tx.query<Moved>(sql`
      WITH chosen AS MATERIALIZED (${chosen})
      UPDATE rollout_assignments AS m
         SET state = ${to}, state_reason = ${reason ?? null}, state_changed_at = ${tx.now}
        FROM chosen AS c WHERE m.id = c.id RETURNING m.id, m.node_id AS "nodeId", c.state AS "from"`);
  }

  /** Some of the nodes that were deferred, of which the condition does not hold any more, and that nothing else has. */
  async deferredBut(tx: ReadTx, rolloutId: string, isAway: Sql, limit: number): Promise<string[]> {
    const rows = await tx.query<{ nodeId: string }>(sql`
      SELECT a.node_id AS "nodeId" FROM rollout_assignments AS a
       WHERE a.rollout_id = ${rolloutId}::uuid AND a.direction = 'forward' AND a.state = 'deferred' AND NOT ${isAway}
         AND NOT ${isHeld(tx)} AND (a.state_reason IS DISTINCT FROM 'emergency_pin' OR NOT ${IS_AWAY_ON_ANOTHER})
       ORDER BY a.wave_position, a.place LIMIT ${limit}`);
    return rows.map(({ nodeId }) => nodeId);
  }

  /** Writes what reports have changed. */
  write(tx: Tx, rows: readonly Assignment[]): void {
    if (rows.length === 0) return;
    tx.send(sql`
      UPDATE rollout_assignments AS a
         SET state = n.state, state_reason = n."stateReason", node_state = n."nodeState", epoch = n.epoch, attempt = n.attempt,
             sequence = n.sequence, message = n.message, step_from = n."stepFrom", to_version = n."toVersion", to_release_id = n."toReleaseId",
             is_stop = n."isStop", retries_left = n."retriesLeft", is_written_off = n."isWrittenOff",
             state_changed_at = n."stateChangedAt", reported_at = n."reportedAt"
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS n (id uuid, state text, "stateReason" text, "nodeState" text,
             epoch bigint, attempt integer, sequence bigint, message text, "stepFrom" text, "toVersion" text, "toReleaseId" uuid,
             "isStop" boolean, "retriesLeft" integer, "isWrittenOff" boolean, "stateChangedAt" timestamptz,
             "reportedAt" timestamptz)
       WHERE a.id = n.id`);
  }

  /** Counts a report that could not be. How many there have been, where it is to be told: once a while, however many
   *  come; null: it was told of lately. */
  async refuseReport(tx: Tx, id: string, everySeconds: number): Promise<number | null> {
    const [row] = await tx.query<{ refused: number; isTold: boolean }>(sql`
      UPDATE rollout_assignments AS a
         SET refused_reports = a.refused_reports + 1,
             refusal_recorded_at = CASE WHEN n.is_due THEN ${tx.now} ELSE a.refusal_recorded_at END
        FROM (SELECT b.id, coalesce(b.refusal_recorded_at <= ${tx.now}::timestamptz - make_interval(secs => ${everySeconds}), true)
                     AS is_due
                FROM rollout_assignments AS b WHERE b.id = ${id}::uuid FOR UPDATE) AS n
       WHERE a.id = n.id RETURNING a.refused_reports AS refused, n.is_due AS "isTold"`);
    return row?.isTold === true ? row.refused : null;
  }

  /** The node is gone: what it was still part of goes on without it. */
  decommission(
    tx: Tx,
    clusterId: string,
    nodeId: string,
  ): Promise<{ rolloutId: string; from: AssignmentState }[]> {
    return tx.query(sql`
      WITH chosen AS MATERIALIZED (
        SELECT a.id, a.state FROM rollout_assignments AS a JOIN rollouts AS r ON r.id = a.rollout_id
         WHERE a.cluster_id = ${clusterId}::uuid AND a.node_id = ${nodeId}::uuid AND a.state <> 'decommissioned'
           AND r.finished_at IS NULL ORDER BY a.rollout_id, a.direction)
      UPDATE rollout_assignments AS m
         SET state = 'decommissioned', state_reason = 'membership_ended', state_changed_at = ${tx.now}
        FROM chosen AS c WHERE m.id = c.id RETURNING m.rollout_id AS "rolloutId", c.state AS "from"`);
  }
}

/** As a table `a`, in their order. */
function inFront({
  rolloutId,
  direction,
  states,
  inOpenWaves,
  where = sql`true`,
  limit,
  among,
}: InFront): Sql {
  const [first, then] = among === undefined ? [where, sql`true`] : [sql`true`, where];
  return sql`(
      SELECT a.* FROM (
        SELECT f.* FROM rollout_waves AS w CROSS JOIN (VALUES ${join(
          states.map((state) => sql`(${word(state)})`),
          ', ',
        )}) AS s (state) CROSS JOIN LATERAL (
          SELECT a.* FROM rollout_assignments AS a
           WHERE a.rollout_id = ${rolloutId}::uuid AND a.direction = ${word(direction)} AND a.state = s.state
             AND a.wave_position = w.position AND ${first}
           ORDER BY a.place LIMIT ${among ?? limit}) AS f
         WHERE w.rollout_id = ${rolloutId}::uuid ${inOpenWaves ? sql`AND w.state IN ('active', 'soaking', 'done')` : empty}
        OFFSET 0) AS a
       -- Asked of each of them: joined, it would be asked of everybody in the cluster.
       WHERE (SELECT ${then}) ORDER BY a.wave_position, a.place LIMIT ${limit}) AS a`;
}

function allowed(from: readonly AssignmentState[], to: AssignmentState): AssignmentState[] {
  return from.filter((state) => NEXT_ASSIGNMENT_STATES[state].includes(to));
}
