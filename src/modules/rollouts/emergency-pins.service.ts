import { Injectable } from '@nestjs/common';
import { conflict, invalid } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { PolicyReadModel } from '../clusters/policy.read-model.js';
import { EmergencyHolds } from './emergency-holds.js';
import {
  type EmergencyPin,
  emergencyPinCreated,
  emergencyPinIsOver,
  endOf,
  LONGEST_SECONDS,
  noSuchEmergencyPin,
} from './emergency-pin.js';
import { EmergencyPinViews } from './emergency-pin-views.js';
import { EmergencyPinsRepository } from './emergency-pins.repository.js';
import type { CreateEmergencyPin, EmergencyPinQuery, EmergencyPinView } from './emergency-pins.schema.js';
import type { HeldRollout } from './held-rollout.js';
import { PinnableReleases } from './pinnable-releases.js';
import { noSuchRollout, type Rollout, rolloutCreated } from './rollout.js';
import { RolloutDecisionsService } from './rollout-decisions.service.js';
import { RolloutDrafts } from './rollout-drafts.js';
import { RolloutEngine } from './rollout-engine.js';
import { RolloutMoves } from './rollout-moves.js';
import { type PreparedRollout, RolloutPlanner } from './rollout-planner.js';
import { RolloutsRepository } from './rollouts.repository.js';

/** One failure in ten pauses it: what is done in a hurry is stopped early. It waits for its nodes as long as it decides. */
const TERMS = {
  waves: [{ name: 'emergency', percent: 100, soakSeconds: 0, requiresApproval: false }],
  successThresholdPercent: 100,
  failureThresholdPercent: 10,
  minEvidence: 1,
  progressDeadlineSeconds: LONGEST_SECONDS,
  nodeDeadlineSeconds: 3_600,
  maintenanceWindows: [],
  autoRollback: false,
  retryBudget: 2,
};

/** Brings nodes to a version before anything else, and keeps them there until an instant. */
@Injectable()
export class EmergencyPinsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly pins: EmergencyPinsRepository,
    private readonly holds: EmergencyHolds,
    private readonly views: EmergencyPinViews,
    private readonly pinnable: PinnableReleases,
    private readonly planner: RolloutPlanner,
    private readonly drafts: RolloutDrafts,
    private readonly rollouts: RolloutsRepository,
    private readonly decisions: RolloutDecisionsService,
    private readonly moves: RolloutMoves,
    private readonly engine: RolloutEngine,
    private readonly policies: PolicyReadModel,
    private readonly paging: Paging,
  ) {}

  /** It decides at once, or when it has the approvals that the policy asks for. Either way nobody else pins its nodes.
   *  @throws not_found; invalid; conflict `emergency_pin_overlaps`, `release_blocked`, `release_not_approved` */
  create(actor: Actor, clusterId: string, input: CreateEmergencyPin): Promise<EmergencyPinView> {
    return this.transactor.mutateDirect(actor, async (tx) => {
      const { version, scope, reason } = input;
      const expiresAt = this.expiryOf(tx, input);
      const product = await this.pinnable.product(tx, input.product);
      const { releaseId } = await this.pinnable.usable(tx, product, version);
      await this.rollouts.lockProduct(tx, clusterId, product.id);
      await this.holds.endExpired(tx, clusterId, product.id);
      const prepared = await this.prepare(tx, clusterId, product.id, input);
      await this.requireFree(tx, clusterId, prepared);
      const rolloutId = await this.drafts.write(tx, actor, clusterId, prepared, 'emergency');
      const pin: EmergencyPin = {
        ...{ id: tx.newId(), clusterId, productId: product.id, product: product.name, releaseId, version },
        ...{ scope, reason, expiresAt, rolloutId },
        ...{ createdByType: actor.type, createdById: actor.id ?? '', createdAt: tx.now },
        ...{ activatedAt: null, endedAt: null, endedBecause: null, endReason: null },
      };
      await this.pins.insert(tx, pin);
      if (!(await this.pins.cover(tx, pin))) throw overlaps([]);
      const rollout = await this.rolloutOf(tx, pin);
      tx.audit(rolloutCreated(rollout));
      const { rolloutApprovals } = await this.policies.hold(tx, clusterId);
      if (rolloutApprovals > 0)
        tx.audit(
          await this.moves.enter(tx, rollout, 'pending_approval', { rule: 'emergency_pin', reason: null }),
        );
      else await this.begin(tx, pin);
      return { result: await this.view(tx, pin), events: [emergencyPinCreated(pin)] };
    });
  }

  /** Newest first. */
  list(clusterId: string, query: EmergencyPinQuery): Promise<Page<EmergencyPinView>> {
    const { limit, cursor, ...filter } = query;
    const list = { kind: 'emergency_pins', filters: { clusterId, ...filter }, limit, cursor };
    return this.transactor.read(async (tx) => {
      const rows = await this.pins.list(tx, clusterId, filter, this.paging.after(list), limit);
      const views = new Map((await this.views.of(tx, rows)).map((view) => [view.id, view]));
      const key = ({ createdAt, id }: EmergencyPin) => [createdAt.toISOString(), id];
      return this.paging.page(list, rows, key, ({ id }) => views.get(id) as EmergencyPinView);
    });
  }

  /** @throws not_found */
  read(clusterId: string, id: string): Promise<EmergencyPinView> {
    return this.transactor.read(async (tx) => this.view(tx, await this.get(tx, clusterId, id)));
  }

  /** Approves its plan, as that of any rollout; with the last approval it decides.
   *  @throws not_found; forbidden `author_may_not_approve`; conflict */
  approve(actor: Actor, clusterId: string, id: string): Promise<EmergencyPinView> {
    return this.transactor.mutateDirect(actor, async (tx) => {
      const { pin, held } = await this.hold(tx, clusterId, id);
      const event = await this.decisions.giveApproval(tx, actor, held);
      if (event === null) return { result: await this.view(tx, pin), unchanged: true };
      if ((await this.rolloutOf(tx, pin)).state === 'approved') await this.begin(tx, pin);
      return { result: await this.view(tx, pin), events: [event] };
    });
  }

  /** Lets ordinary rules hold again. @throws not_found; conflict `emergency_pin_over` */
  lift(actor: Actor, clusterId: string, id: string, reason: string): Promise<EmergencyPinView> {
    return this.transactor.mutateDirect(actor, async (tx) => {
      const { pin } = await this.hold(tx, clusterId, id);
      const event = await this.holds.finish(tx, pin, 'lifted', reason);
      await this.advance(tx, pin);
      return { result: await this.view(tx, pin), events: [event] };
    });
  }

  private expiryOf(tx: Tx, input: CreateEmergencyPin): Date {
    const expiresAt = new Date(input.expiresAt);
    const seconds = (expiresAt.getTime() - tx.now.getTime()) / 1_000;
    if (seconds > 0 && seconds <= LONGEST_SECONDS) return expiresAt;
    throw refused('expiresAt', 'Must lie ahead, and at most 30 days.');
  }

  private async prepare(
    tx: Tx,
    clusterId: string,
    productId: string,
    { product, version, scope, ...input }: CreateEmergencyPin,
  ): Promise<PreparedRollout> {
    const beside = await this.rollouts.unfinished(tx, clusterId, productId);
    const maxUnavailable = input.maxUnavailable ?? beside?.strategy.maxUnavailable ?? 1;
    const { nodeIds, selector = nodeIds === undefined ? {} : { nodeIds } } = scope;
    const wish = { product, targetVersion: version, selector, strategy: { ...TERMS, maxUnavailable } };
    const prepared = await this.planner.prepare(tx, clusterId, wish, 'emergency');
    const strangers = nodeIds?.filter((nodeId) => !prepared.platforms.has(nodeId)) ?? [];
    // Who believes that a node is covered must not be wrong.
    if (strangers.length > 0)
      throw refused('scope', `No members of this cluster: ${strangers.slice(0, 10).join(', ')}.`);
    if (prepared.platforms.size === 0) throw refused('scope', 'Selects no node.');
    return prepared;
  }

  private async requireFree(
    tx: Tx,
    clusterId: string,
    { product, platforms }: PreparedRollout,
  ): Promise<void> {
    const found = await this.pins.overlaps(tx, clusterId, product.id, [...platforms.keys()]);
    if (found.length > 0) throw overlaps(found);
  }

  private async begin(tx: Tx, pin: EmergencyPin): Promise<void> {
    const rollout = await this.rolloutOf(tx, pin);
    tx.audit(await this.decisions.begin(tx, { rollout }));
    await this.advance(tx, pin);
  }

  private async advance(tx: Tx, { clusterId, rolloutId }: EmergencyPin): Promise<void> {
    const held = await this.engine.hold(tx, clusterId, rolloutId, { waits: false });
    if (held !== null) await this.engine.advance(tx, held);
  }

  /** The pin and its rollout, under the lock of the product, where it is not over. */
  private async hold(
    tx: Tx,
    clusterId: string,
    id: string,
  ): Promise<{ pin: EmergencyPin; held: HeldRollout }> {
    const { rolloutId } = await this.get(tx, clusterId, id);
    const held = await this.engine.hold(tx, clusterId, rolloutId);
    if (held === null) throw noSuchRollout();
    // A statement of its own: the one above may have waited.
    const pin = await this.get(tx, clusterId, id);
    const now = await tx.clock();
    if (endOf(pin, now) !== null) throw emergencyPinIsOver(pin, now);
    return { pin, held };
  }

  private async get(tx: ReadTx, clusterId: string, id: string): Promise<EmergencyPin> {
    const pin = await this.pins.find(tx, clusterId, id);
    if (pin === null) throw noSuchEmergencyPin();
    return pin;
  }

  private async rolloutOf(tx: ReadTx, { clusterId, rolloutId }: EmergencyPin): Promise<Rollout> {
    const rollout = await this.rollouts.find(tx, clusterId, rolloutId);
    if (rollout === null) throw noSuchRollout();
    return rollout;
  }

  private async view(tx: ReadTx, { clusterId, id }: EmergencyPin): Promise<EmergencyPinView> {
    const [view] = await this.views.of(tx, [await this.get(tx, clusterId, id)]);
    return view as EmergencyPinView;
  }
}

function refused(member: string, message: string) {
  return invalid('invalid_request', message, { errors: [{ pointer: `#/${member}`, message }] });
}

function overlaps(found: readonly { pinId: string; nodes: number }[]) {
  const message = 'Another emergency pin of the product covers some of these nodes.';
  return conflict('emergency_pin_overlaps', message, { extensions: { overlaps: found } });
}
