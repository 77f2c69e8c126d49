import { Injectable } from '@nestjs/common';
import { violates } from '../../common/database/postgres-errors.js';
import { type Sql, sql } from '../../common/database/sql.js';
import { words } from '../../common/database/words.js';
import { conflict } from '../../common/errors/domain-error.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { Actor } from '../../common/request/actor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { decidesNow } from './emergency-coverage.js';
import { REACHED_STATES } from './engine/assignment-state.js';
import { type RolloutState, UNFINISHED_STATES } from './engine/rollout-state.js';
import { BEFORE_ALL, type Place, type Rollout } from './rollout.js';

const COLUMNS = sql`r.id, r.kind, r.cluster_id AS "clusterId", r.product_id AS "productId", p.name AS product,
  p.service_type AS "serviceType",
  r.release_id AS "releaseId", r.target_version AS "targetVersion", r.selector, r.strategy, r.plan_hash AS "planHash",
  r.downgrade_possible AS "downgradePossible", r.state, r.state_reason AS "stateReason",
  r.paused_by_decision_id AS "pausedByDecisionId", r.start_at AS "startAt", r.created_by_type AS "createdByType",
  r.created_by_id AS "createdById", r.created_at AS "createdAt", r.updated_at AS "updatedAt", r.started_at AS "startedAt",
  r.running_since AS "runningSince", r.last_progress_at AS "lastProgressAt", r.finished_at AS "finishedAt",
  r.ways_back_after AS "waysBackAfter", r.good_after AS "goodAfter",
  CASE WHEN r.looked_wave IS NOT NULL THEN jsonb_build_object('wavePosition', r.looked_wave, 'place', r.looked_place) END
    AS "lookedTo"`;
const TABLES = sql`rollouts AS r JOIN products AS p ON p.id = r.product_id`;

/** Key of the lock of a product in a cluster. */
function lockOf(clusterId: Sql, productId: Sql): Sql {
  return sql`hashtextextended('rollouts/' || ${clusterId} || '/' || ${productId}, 0)`;
}

/** A rollout that is to be written down. */
export type NewRollout = Pick<
  Rollout,
  | 'id'
  | 'kind'
  | 'clusterId'
  | 'productId'
  | 'releaseId'
  | 'targetVersion'
  | 'selector'
  | 'strategy'
  | 'planHash'
  | 'downgradePossible'
  | 'startAt'
> & { salt: string };

/** How a rollout stands now, where that has changed. */
export interface RolloutChange {
  state: RolloutState;
  stateReason: string | null;
  pausedByDecisionId: string | null;
}

@Injectable()
export class RolloutsRepository {
  private readonly progressedIn = new WeakMap<Tx, Set<string>>();

  /** Everything that is done with a product's rollouts and slots in a cluster is done one after the other. */
  async lockProduct(tx: Tx, clusterId: string, productId: string): Promise<void> {
    await tx.query(sql`
      SELECT pg_advisory_xact_lock(${lockOf(sql`${clusterId}::uuid`, sql`${productId}::uuid`)})::text AS held`);
  }

  /** The same for the product of a rollout, and the rollout as it is after that, with the time. null: there is none. */
  async lock(tx: Tx, clusterId: string, id: string): Promise<{ rollout: Rollout; now: Date } | null> {
    const locked = tx.query(sql`
      SELECT pg_advisory_xact_lock(${lockOf(sql`r.cluster_id`, sql`r.product_id`)})::text AS held FROM rollouts AS r
       WHERE r.cluster_id = ${clusterId}::uuid AND r.id = ${id}::uuid`);
    // A statement of its own: the one above may have waited.
    const found = tx.query<Rollout & { now: Date }>(sql`
      SELECT ${COLUMNS}, fabric_now() AS now FROM ${TABLES}
       WHERE r.cluster_id = ${clusterId}::uuid AND r.id = ${id}::uuid`);
    const [, [row]] = await Promise.all([locked, found]);
    if (row === undefined) return null;
    const { now, ...rollout } = row;
    return { rollout, now };
  }

  async insert(tx: Tx, actor: Actor, rollout: NewRollout): Promise<void> {
    const {
      id,
      kind,
      clusterId,
      productId,
      releaseId,
      targetVersion,
      planHash,
      downgradePossible,
      startAt,
      salt,
    } = rollout;
    await tx.query(sql`
      INSERT INTO rollouts (id, kind, cluster_id, product_id, release_id, target_version, selector, strategy, salt, plan_hash,
             downgrade_possible, state, start_at, created_by_type, created_by_id, created_at, updated_at)
      VALUES (${id}::uuid, ${kind}, ${clusterId}::uuid, ${productId}::uuid, ${releaseId}::uuid, ${targetVersion},
              ${JSON.stringify(rollout.selector)}::jsonb, ${JSON.stringify(rollout.strategy)}::jsonb, ${salt}, ${planHash},
              ${downgradePossible}, 'draft', ${startAt}, ${actor.type}, ${actor.id ?? ''}, ${tx.now}, ${tx.now})`);
  }

  /** How many rollouts the cluster has had of the product, those of pins aside. */
  async count(tx: ReadTx, clusterId: string, productId: string): Promise<number> {
    const [row] = await tx.query<{ rollouts: number }>(sql`
      SELECT count(*)::int AS rollouts FROM rollouts AS r
       WHERE r.cluster_id = ${clusterId}::uuid AND r.product_id = ${productId}::uuid AND r.kind = 'staged'`);
    return row?.rollouts ?? 0;
  }

  async find(tx: ReadTx, clusterId: string, id: string): Promise<Rollout | null> {
    const [row] = await tx.query<Rollout>(sql`
      SELECT ${COLUMNS} FROM ${TABLES} WHERE r.cluster_id = ${clusterId}::uuid AND r.id = ${id}::uuid`);
    return row ?? null;
  }

  async list(
    tx: ReadTx,
    clusterId: string,
    { state, product }: { state?: string | undefined; product?: string | undefined },
    after: CursorValues | null,
    limit: number,
  ): Promise<Rollout[]> {
    const [createdAt = null, id = null] = after ?? [];
    return tx.query<Rollout>(sql`
      SELECT ${COLUMNS} FROM ${TABLES}
       WHERE r.cluster_id = ${clusterId}::uuid AND (${state ?? null}::text IS NULL OR r.state = ${state ?? null})
         AND (${product ?? null}::text IS NULL OR p.name = ${product ?? null})
         AND (${createdAt}::timestamptz IS NULL OR (r.created_at, r.id) < (${createdAt}::timestamptz, ${id}::uuid))
       ORDER BY r.created_at DESC, r.id DESC LIMIT ${limit + 1}`);
  }

  /** Rollouts in which something may be due: those under way, those whose start has come, and finished ones whose nodes
   *  are still out of service, still have to get away from a blocked version, still wait for what was cancelled, or have
   *  not all been gone through. */
  due(tx: ReadTx): Promise<{ id: string; clusterId: string }[]> {
    // Each of them by an index of its own: a condition with OR would read all that ever was.
    return tx.query(sql`
      SELECT r.id, r.cluster_id AS "clusterId" FROM rollouts AS r WHERE r.id IN (
        SELECT u.id FROM rollouts AS u WHERE u.state IN ('running', 'paused', 'rolling_back')
        UNION ALL
        SELECT w.id FROM rollouts AS w WHERE w.state IN ('draft', 'approved') AND w.start_at IS NOT NULL AND w.start_at <= ${tx.now}
        UNION ALL
        SELECT p.rollout_id FROM emergency_pins AS p JOIN rollouts AS e ON e.id = p.rollout_id
         WHERE p.ended_at IS NULL AND (e.state = 'approved' OR p.expires_at <= ${tx.now})
        UNION ALL
        SELECT a.rollout_id FROM update_slots AS s JOIN rollout_assignments AS a ON a.id = s.assignment_id
         WHERE a.state IN ('granted', 'applying', 'health')
        UNION ALL
        SELECT n.id FROM rollouts AS n WHERE n.ways_back_after IS NOT NULL OR n.good_after IS NOT NULL
        UNION ALL
        SELECT d.id FROM rollouts AS d WHERE d.is_winding_down)
       ORDER BY r.id`);
  }

  /** Rollouts that lead, or have led, to a release and could still do something with it; of those that were cancelled
   *  the ones that some node went with. */
  ofRelease(tx: ReadTx, releaseId: string): Promise<Rollout[]> {
    return tx.query<Rollout>(sql`
      SELECT ${COLUMNS} FROM ${TABLES} WHERE r.release_id = ${releaseId}::uuid AND r.state <> 'rolled_back'
         AND (r.state <> 'cancelled' OR EXISTS (
               SELECT 1 FROM rollout_counts AS c WHERE c.rollout_id = r.id AND c.direction = 'forward' AND c.nodes > 0
                  AND c.state IN (${words(REACHED_STATES)})))
       ORDER BY r.cluster_id, r.product_id, r.id`);
  }

  /** Rollouts by which nodes are offered the release. */
  offering(tx: ReadTx, releaseId: string): Promise<Pick<Rollout, 'clusterId' | 'id'>[]> {
    return tx.query(sql`
      SELECT r.id, r.cluster_id AS "clusterId" FROM rollouts AS r
       WHERE EXISTS (SELECT 1 FROM rollout_counts AS c WHERE c.rollout_id = r.id AND c.to_release_id = ${releaseId}::uuid
                        AND c.state = 'offered' AND c.nodes > 0)
       ORDER BY r.cluster_id, r.product_id, r.id`);
  }

  /** The rollout of a product that says where the node goes: that of the emergency pin which decides now, else the one by
   *  which the node is told something or waits to go back; else the last that has it, one that is unfinished before any
   *  other, and of these that of an emergency pin. */
  async lastOf(tx: ReadTx, clusterId: string, productId: string, nodeId: string): Promise<Rollout | null> {
    const leads = sql`r.kind = 'emergency' AND EXISTS (SELECT 1 FROM emergency_pins AS p WHERE p.rollout_id = r.id AND ${decidesNow(tx)})`;
    const unfinished = sql`r.state IN (${words(UNFINISHED_STATES)})`;
    const isOpen = sql`a.state IN ('planned', 'offered', 'granted', 'applying', 'health', 'lost') AND NOT a.is_written_off`;
    const [row] = await tx.query<Rollout>(sql`
      SELECT ${COLUMNS} FROM ${TABLES} JOIN (
             SELECT a.rollout_id AS id, bool_or(${isOpen} AND a.state <> 'planned') AS "isTold",
                    bool_or(${isOpen} AND a.direction = 'back') AS "goesBack"
               FROM rollout_assignments AS a
              WHERE a.cluster_id = ${clusterId}::uuid AND a.node_id = ${nodeId}::uuid GROUP BY a.rollout_id) AS ways ON ways.id = r.id
       WHERE r.cluster_id = ${clusterId}::uuid AND r.product_id = ${productId}::uuid AND r.state <> 'draft'
       ORDER BY ${leads} DESC, ways."isTold" DESC, ways."goesBack" DESC, ${unfinished} DESC,
                r.kind = 'emergency' AND ${unfinished} DESC, r.created_at DESC LIMIT 1`);
    return row ?? null;
  }

  /** The first of the release's rollouts in the cluster that stand succeeded; null: there is none. */
  async proofOf(
    tx: ReadTx,
    clusterId: string,
    releaseId: string,
  ): Promise<{ id: string; state: RolloutState; finishedAt: Date } | null> {
    const [row] = await tx.query<{ id: string; state: RolloutState; finishedAt: Date }>(sql`
      SELECT r.id, r.state, r.finished_at AS "finishedAt" FROM rollouts AS r
       WHERE r.release_id = ${releaseId}::uuid AND r.cluster_id = ${clusterId}::uuid
         AND r.kind = 'staged' AND r.state IN ('succeeded', 'succeeded_with_deferred')
       ORDER BY r.finished_at, r.id LIMIT 1`);
    return row ?? null;
  }

  /** How many rollouts the cluster has in each state. */
  async countByState(tx: ReadTx, clusterId: string): Promise<Map<RolloutState, number>> {
    const rows = await tx.query<{ state: RolloutState; rollouts: number }>(sql`
      SELECT r.state, count(*)::int AS rollouts FROM rollouts AS r
       WHERE r.cluster_id = ${clusterId}::uuid GROUP BY r.state`);
    return new Map(rows.map(({ state, rollouts }) => [state, rollouts]));
  }

  /** The unfinished rollout that the pin of a node has begun; null: there is none. */
  async ofPin(tx: ReadTx, clusterId: string, productId: string, nodeId: string): Promise<Rollout | null> {
    const [row] = await tx.query<Rollout>(sql`
      SELECT ${COLUMNS} FROM ${TABLES}
       WHERE r.cluster_id = ${clusterId}::uuid AND r.product_id = ${productId}::uuid AND r.kind = 'pin'
         AND r.state IN ('draft', 'pending_approval', 'approved', 'running', 'paused')
         AND EXISTS (SELECT 1 FROM rollout_assignments AS a WHERE a.rollout_id = r.id AND a.node_id = ${nodeId}::uuid)
       ORDER BY r.created_at DESC LIMIT 1`);
    return row ?? null;
  }

  /** The unfinished rollout of the product, those of pins aside; null: there is none. */
  async unfinished(tx: ReadTx, clusterId: string, productId: string): Promise<Rollout | null> {
    const [row] = await tx.query<Rollout>(sql`
      SELECT ${COLUMNS} FROM ${TABLES} WHERE r.cluster_id = ${clusterId}::uuid AND r.product_id = ${productId}::uuid
         AND r.kind = 'staged' AND r.state IN (${words(UNFINISHED_STATES)})`);
    return row ?? null;
  }

  /** @throws conflict `rollout_in_progress` when another one is unfinished */
  async move(
    tx: Tx,
    { id }: Rollout,
    { state, stateReason, pausedByDecisionId }: RolloutChange,
  ): Promise<void> {
    const isUnderWay = state === 'running' || state === 'rolling_back';
    const isOver = !isUnderWay && !['draft', 'pending_approval', 'approved', 'paused'].includes(state);
    const isProof = state === 'succeeded' || state === 'succeeded_with_deferred';
    try {
      await tx.query(sql`
        UPDATE rollouts AS r
           SET state = ${state}, state_reason = ${stateReason}, paused_by_decision_id = ${pausedByDecisionId}::uuid,
               updated_at = ${tx.now},
               started_at = CASE WHEN ${isUnderWay} THEN coalesce(r.started_at, ${tx.now}) ELSE r.started_at END,
               running_since = CASE WHEN ${isUnderWay} THEN ${tx.now} ELSE r.running_since END,
               last_progress_at = CASE WHEN ${isUnderWay} THEN ${tx.now} ELSE r.last_progress_at END,
               ways_back_after = ${state === 'rolling_back' ? BEFORE_ALL : null}::uuid,
               good_after = ${isProof ? BEFORE_ALL : null}::uuid,
               is_winding_down = ${state === 'cancelled'}, looked_wave = NULL, looked_place = NULL,
               finished_at = CASE WHEN ${isOver} THEN ${tx.now} WHEN ${isUnderWay} THEN NULL ELSE r.finished_at END
         WHERE r.id = ${id}::uuid`);
    } catch (error) {
      if (!violates(error, 'rollouts_one_unfinished')) throw error;
      throw conflict('rollout_in_progress', 'Another rollout of the product is unfinished in this cluster.');
    }
  }

  /** A way of it leads over a migration that cannot be undone. */
  async giveUpDowngrade(tx: Tx, id: string): Promise<void> {
    await tx.query(sql`
      UPDATE rollouts AS r SET downgrade_possible = false WHERE r.id = ${id}::uuid AND r.downgrade_possible`);
  }

  /** Says up to which node ways back are planned; null: for all. */
  async planBackAfter(tx: Tx, id: string, nodeId: string | null): Promise<void> {
    await tx.query(sql`UPDATE rollouts AS r SET ways_back_after = ${nodeId}::uuid WHERE r.id = ${id}::uuid`);
  }

  /** Says up to where it has looked for nodes that can be offered their way; null: it begins again. */
  lookTo(tx: Tx, id: string, to: Place | null): void {
    tx.send(sql`
      UPDATE rollouts AS r SET looked_wave = ${to?.wavePosition ?? null}::integer, looked_place = ${to?.place ?? null}::integer
       WHERE r.id = ${id}::uuid`);
  }

  /** It is over, and its nodes leave its version all the same. */
  async beginWindingDown(tx: Tx, id: string): Promise<void> {
    await tx.query(sql`UPDATE rollouts AS r SET is_winding_down = true WHERE r.id = ${id}::uuid`);
  }

  /** Nobody has to be led back any more, and nothing waits of what was cancelled, if that is so. */
  async endWindingDown(tx: Tx, id: string): Promise<void> {
    await tx.query(sql`
      UPDATE rollouts AS r SET is_winding_down = false
       WHERE r.id = ${id}::uuid AND r.is_winding_down AND r.ways_back_after IS NULL AND NOT EXISTS (
             SELECT 1 FROM rollout_counts AS c WHERE c.rollout_id = r.id AND c.nodes > 0 AND NOT c.is_written_off
                AND ((c.direction = 'back' AND c.state IN ('planned', 'offered', 'granted', 'applying', 'health', 'lost'))
                     OR (r.state = 'cancelled' AND c.direction = 'forward' AND c.state IN ('planned', 'offered', 'deferred'))))`);
  }

  /** Says up to which node the version is noted as good; null: of all. */
  async noteGoodAfter(tx: Tx, id: string, nodeId: string | null): Promise<void> {
    await tx.query(sql`UPDATE rollouts AS r SET good_after = ${nodeId}::uuid WHERE r.id = ${id}::uuid`);
  }

  /** Something has come of it. Written once in a transaction, all of which is at one instant. */
  progressed(tx: Tx, id: string): void {
    const written = this.progressedIn.get(tx) ?? new Set();
    if (written.has(id)) return;
    this.progressedIn.set(tx, written.add(id));
    tx.send(sql`
      UPDATE rollouts AS r SET last_progress_at = ${tx.now} WHERE r.id = ${id}::uuid AND r.last_progress_at IS NOT NULL`);
  }

  /** Approvals of this very plan. */
  approvals(
    tx: ReadTx,
    { id, planHash }: Pick<Rollout, 'id' | 'planHash'>,
  ): Promise<{ type: string; id: string; approvedAt: Date }[]> {
    return tx.query(sql`
      SELECT a.approver_type AS type, a.approver_id AS id, a.approved_at AS "approvedAt" FROM rollout_approvals AS a
       WHERE a.rollout_id = ${id}::uuid AND a.plan_hash = ${planHash} ORDER BY a.approved_at, a.approver_id`);
  }

  /** Rollouts that wait for approvals, with how many they have of their plan. */
  waitingForApproval(tx: ReadTx): Promise<{ clusterId: string; id: string; approvals: number }[]> {
    return tx.query(sql`
      SELECT r.cluster_id AS "clusterId", r.id, (
             SELECT count(*)::int FROM rollout_approvals AS a
              WHERE a.rollout_id = r.id AND a.plan_hash = r.plan_hash) AS approvals
        FROM rollouts AS r WHERE r.state = 'pending_approval' ORDER BY r.id`);
  }

  /** false: they have approved it already. */
  async approve(tx: Tx, actor: Actor, { id, planHash }: Rollout): Promise<boolean> {
    const added = await tx.query(sql`
      INSERT INTO rollout_approvals AS a (rollout_id, approver_type, approver_id, plan_hash, approved_at)
      VALUES (${id}::uuid, ${actor.type}, ${actor.id ?? ''}, ${planHash}, ${tx.now})
      ON CONFLICT DO NOTHING RETURNING a.approver_id`);
    return added.length === 1;
  }
}
