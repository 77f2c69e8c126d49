import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { violates } from '../../common/database/postgres-errors.js';
import { conflict, notFound } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { ClusterKeyStore } from '../clusters/cluster-key-store.js';
import { ClusterKeys } from '../clusters/cluster-keys.js';
import { CertificateAuthorities } from './certificate-authorities.js';
import {
  keyPhases,
  NEXT_ROTATION_PHASE,
  nextPhase,
  overridesNodes,
  type Rotation,
  type RotationKind,
  type RotationPhase,
  rotationAdvanced,
  rotationStarted,
  type Spread,
} from './rotation.js';
import { RotationsRepository } from './rotations.repository.js';
import type { AdvanceRotation, RotationQuery, RotationView } from './rotations.schema.js';

/** Nodes that a view names; the counts hold all. */
const SHOWN = 100;

/** Changes the keys of a cluster, phase by phase, with overlap. */
@Injectable()
export class RotationsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly rotations: RotationsRepository,
    private readonly authorities: CertificateAuthorities,
    private readonly snapshotKeys: ClusterKeys,
    private readonly keys: ClusterKeyStore,
    private readonly paging: Paging,
  ) {}

  /** Makes the new key, before the transaction opens, and publishes it. @throws conflict `rotation_in_progress` */
  async start(actor: Actor, clusterId: string, kind: RotationKind): Promise<RotationView> {
    const publish = await this.newKey(clusterId, kind);
    try {
      return await this.transactor.mutate(actor, async (tx) => {
        const oldKid = await this.activeKid(tx, clusterId, kind);
        const newKid = await publish(tx);
        const announcedBase =
          kind === 'snapshot_key' ? (await this.rotations.lockBase(tx, clusterId)) + 1 : null;
        const rotation: Rotation = {
          id: tx.newId(),
          clusterId,
          kind,
          phase: 'prepare',
          oldKid,
          newKid,
          startedByType: actor.type,
          startedById: actor.id,
          preparedAt: tx.now,
          activatedAt: null,
          taintedAt: null,
          retiredAt: null,
          overrideReason: null,
          announcedBase,
        };
        await this.rotations.insert(tx, rotation);
        return { result: await this.show(tx, rotation), events: [rotationStarted(rotation)] };
      });
    } catch (error) {
      if (!violates(error, 'trust_rotations_one_unfinished')) throw error;
      throw conflict('rotation_in_progress', 'A rotation of this kind is not finished yet.', {
        cause: error,
      });
    }
  }

  /** Enters the next phase.
   *  @throws not_found; conflict `rotation_finished`, `rotation_phase_conflict`, `bundle_not_acknowledged` */
  advance(
    actor: Actor,
    clusterId: string,
    id: string,
    { to, override }: z.infer<typeof AdvanceRotation>,
  ): Promise<RotationView> {
    return this.transactor.mutate(actor, async (tx) => {
      const rotation = await this.rotations.lock(tx, clusterId, id);
      if (rotation === null) throw noSuchRotation();
      if (to === rotation.phase) return { result: await this.show(tx, rotation), unchanged: true };
      const next = nextPhase(rotation);
      if (to !== undefined && to !== next) {
        throw conflict('rotation_phase_conflict', `From ${rotation.phase} the rotation goes to ${next}.`, {
          extensions: { phase: rotation.phase, nextPhase: next },
        });
      }
      const spread = await this.spread(tx, clusterId, rotation.kind);
      const reason = overridesNodes(next, spread, override) ? (override?.reason ?? null) : null;
      await this.rotations.setPhase(tx, id, next, reason);
      await this.moveKeys(tx, rotation, next);
      const moved = await this.rotations.find(tx, clusterId, id);
      if (moved === null) throw noSuchRotation();
      return {
        result: await this.show(tx, moved),
        events: [rotationAdvanced(rotation, next, spread, reason)],
      };
    });
  }

  /** @throws not_found */
  get(clusterId: string, id: string): Promise<RotationView> {
    return this.transactor.read(async (tx) => {
      const rotation = await this.rotations.find(tx, clusterId, id);
      if (rotation === null) throw noSuchRotation();
      return this.show(tx, rotation);
    });
  }

  /** Newest first. */
  list(clusterId: string, { limit, cursor }: z.infer<typeof RotationQuery>): Promise<Page<RotationView>> {
    const list = { kind: 'trust-rotations', filters: { clusterId }, limit, cursor };
    return this.transactor.read(async (tx) => {
      const rows = await this.rotations.list(tx, clusterId, this.paging.after(list), limit);
      const spread = {
        ca: await this.spread(tx, clusterId, 'ca'),
        snapshot_key: await this.spread(tx, clusterId, 'snapshot_key'),
      };
      return this.paging.page(
        list,
        rows,
        (row) => [row.preparedAt.toISOString(), row.id],
        (row) => rotationView(row, spread[row.kind]),
      );
    });
  }

  /** Makes a key, and returns how it is published in a transaction, which may run more than once. */
  private async newKey(clusterId: string, kind: RotationKind): Promise<(tx: Tx) => Promise<string>> {
    if (kind === 'snapshot_key') {
      const key = await this.snapshotKeys.make(clusterId);
      return async (tx) => {
        await this.snapshotKeys.add(tx, clusterId, key, 'prepared');
        // Every snapshot announces it, signed by the key that nodes know.
        tx.touch(clusterId, 'shared');
        tx.made(key.kid);
        tx.made(key.publicJwk.x);
        return key.kid;
      };
    }
    const now = await this.transactor.read(async (tx) => tx.now);
    const authority = await this.authorities.make(clusterId, now);
    return async (tx) => {
      await this.authorities.add(tx, clusterId, authority, 'prepared');
      return authority.kid;
    };
  }

  /** Gives the keys their new phases. */
  private async moveKeys(
    tx: Tx,
    { clusterId, kind, oldKid, newKid }: Rotation,
    phase: RotationPhase,
  ): Promise<void> {
    const phases = keyPhases(phase);
    await this.keys.setPhase(tx, clusterId, oldKid, phases.old);
    await this.keys.setPhase(tx, clusterId, newKid, phases.new);
    if (kind === 'ca' && phase === 'retire') await this.authorities.noteBundle(tx, clusterId);
    // Numbered anew, every snapshot is signed anew: by the new key, then without a word of the old one. A tainted key
    // changes neither.
    if (kind === 'snapshot_key' && phase !== 'taint') tx.touch(clusterId, 'shared');
  }

  private async activeKid(tx: Tx, clusterId: string, kind: RotationKind): Promise<string> {
    const rows = await this.keys.list(tx, clusterId, kind === 'ca' ? 'ca' : 'snapshot');
    const active = rows.find(({ phase }) => phase === 'active');
    if (active === undefined) throw new Error(`cluster ${clusterId} has no active ${kind}`);
    return active.kid;
  }

  private async show(tx: ReadTx, rotation: Rotation): Promise<RotationView> {
    return rotationView(rotation, await this.spread(tx, rotation.clusterId, rotation.kind));
  }

  private async spread(tx: ReadTx, clusterId: string, kind: RotationKind): Promise<Spread> {
    const acknowledgement = await this.rotations.acknowledgement(tx, clusterId, kind);
    return { ...acknowledgement, waiting: await this.rotations.waiting(tx, clusterId, kind, SHOWN) };
  }
}

function rotationView(rotation: Rotation, { liveNodes, acknowledged, waiting }: Spread): RotationView {
  const { startedByType, startedById, announcedBase: _, ...rest } = rotation;
  return {
    ...rest,
    nextPhase: NEXT_ROTATION_PHASE[rotation.phase][0] ?? null,
    startedBy: { type: startedByType, id: startedById },
    preparedAt: rotation.preparedAt.toISOString(),
    activatedAt: rotation.activatedAt?.toISOString() ?? null,
    taintedAt: rotation.taintedAt?.toISOString() ?? null,
    retiredAt: rotation.retiredAt?.toISOString() ?? null,
    liveNodes,
    acknowledgedCount: acknowledged,
    waitingCount: liveNodes - acknowledged,
    waiting: waiting.map(({ nodeId, name, lastSeenAt }) => ({
      nodeId,
      name,
      lastSeenAt: lastSeenAt?.toISOString() ?? null,
    })),
  };
}

function noSuchRotation() {
  return notFound('not_found', 'The cluster has no such rotation.');
}
