import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { invalid } from '../../common/errors/domain-error.js';
import { contentEtag } from '../../common/http/etag.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { MembershipsService } from '../nodes/memberships.service.js';
import { PinMoves } from './pin-moves.js';
import { PinnableReleases } from './pinnable-releases.js';
import { RolloutsRepository } from './rollouts.repository.js';
import { isInForce, noSuchPin, pinRemoved, pinSet, type VersionPin } from './version-pin.js';
import { VersionPinsRepository } from './version-pins.repository.js';
import type { PutVersionPin, VersionPinView } from './version-pins.schema.js';

/** Brings nodes to a version and keeps them there, whatever is rolled out. No pin lets a blocked version be. */
@Injectable()
export class VersionPinsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly pins: VersionPinsRepository,
    private readonly rollouts: RolloutsRepository,
    private readonly pinMoves: PinMoves,
    private readonly members: MembershipsService,
    private readonly pinnable: PinnableReleases,
  ) {}

  /** @throws not_found */
  read(clusterId: string, nodeId: string, name: string): Promise<VersionPinView> {
    return this.transactor.read(async (tx) => {
      const { id } = await this.pinnable.product(tx, name);
      const pin = await this.pins.find(tx, clusterId, nodeId, id);
      if (pin === null) throw noSuchPin();
      return view(pin, tx.now);
    });
  }

  /** @throws not_found; stale; invalid; conflict `release_blocked`, `release_not_approved` */
  put(
    actor: Actor,
    clusterId: string,
    nodeId: string,
    name: string,
    { version, reason, expiresAt }: z.infer<typeof PutVersionPin>,
  ): Promise<{ pin: VersionPinView; isNew: boolean }> {
    return this.transactor.mutateDirect(actor, async (tx) => {
      if (expiresAt !== undefined && new Date(expiresAt) <= tx.now) throw isOver();
      const product = await this.pinnable.product(tx, name);
      await this.members.requireMember(tx, clusterId, nodeId);
      const release = await this.pinnable.usable(tx, product, version);
      await this.rollouts.lockProduct(tx, clusterId, product.id);
      const known = await this.pins.find(tx, clusterId, nodeId, product.id);
      tx.requireMatch(known === null ? null : contentEtag(view(known, tx.now)));
      const pin: VersionPin = {
        ...{
          clusterId,
          nodeId,
          productId: product.id,
          product: name,
          releaseId: release.releaseId,
          version,
          reason,
        },
        expiresAt: expiresAt === undefined ? null : new Date(expiresAt),
        createdByType: actor.type,
        createdById: actor.id ?? '',
        createdAt: tx.now,
      };
      await this.pins.set(tx, pin);
      if (isInForce(pin, tx.now)) await this.pinMoves.follow(tx, actor, pin);
      return { result: { pin: view(pin, tx.now), isNew: known === null }, events: [pinSet(known, pin)] };
    });
  }

  /** @throws not_found; stale */
  remove(actor: Actor, clusterId: string, nodeId: string, name: string): Promise<void> {
    return this.transactor.mutateDirect(actor, async (tx) => {
      const { id } = await this.pinnable.product(tx, name);
      await this.rollouts.lockProduct(tx, clusterId, id);
      const pin = await this.pins.find(tx, clusterId, nodeId, id);
      if (pin === null) throw noSuchPin();
      tx.requireMatch(contentEtag(view(pin, tx.now)));
      await this.pins.remove(tx, pin);
      await this.pinMoves.letGo(tx, pin);
      return { result: undefined, events: [pinRemoved(pin)] };
    });
  }
}

/** It would take the place of one that holds, and hold nothing itself. */
function isOver() {
  const message = 'Must lie ahead.';
  return invalid('invalid_request', message, { errors: [{ pointer: '#/expiresAt', message }] });
}

function view(pin: VersionPin, now: Date): VersionPinView {
  const { nodeId, product, version, reason, expiresAt, createdByType, createdById, createdAt } = pin;
  return {
    ...{ nodeId, product, version, reason },
    expiresAt: expiresAt?.toISOString() ?? null,
    inForce: isInForce(pin, now),
    createdBy: { type: createdByType, id: createdById },
    createdAt: createdAt.toISOString(),
  };
}
