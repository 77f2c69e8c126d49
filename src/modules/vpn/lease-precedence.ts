import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { NodesReadModel } from '../nodes/nodes.read-model.js';
import { ineligibleReasons } from './eligibility.js';
import type { LeasedConnection } from './lease-rows.js';
import type { FormerLease, Place } from './lease-standings.repository.js';
import { VpnCandidates } from './vpn-candidates.js';

/** Longest that a free connection waits for a preferred node: they come within a second or two, or not at all. */
const WINDOW_SECONDS = 30;

/** Ends by which a node has just shown that it does not get along with the connection. */
const SHOWN_BAD: readonly unknown[] = ['expired', 'fenced'];

/**
 * Which nodes come first on a connection that has become free. Only for a moment: the preferred ones that are well get
 * the first chance, and then whoever may holds it. So preferring a node never leaves a connection without a holder.
 */
@Injectable()
export class LeasePrecedence {
  constructor(
    private readonly candidates: VpnCandidates,
    private readonly nodes: NodesReadModel,
  ) {}

  /** Until when others come before the node; null when nobody does. */
  async othersFirstUntil(
    tx: ReadTx,
    connection: LeasedConnection,
    now: Date,
    { nodeId, places, former }: { nodeId: string; places: readonly Place[]; former: FormerLease | null },
  ): Promise<Date | null> {
    const until = new Date(freeSince(connection, former, now) + windowMs(connection));
    const better = betterPlaced(places, nodeId).filter(
      (other) => other !== former?.ownerNodeId || !SHOWN_BAD.includes(former.status),
    );
    if (until <= now || better.length === 0) return null;
    const { clusterId } = connection;
    const candidates = await this.candidates.of(tx, clusterId, better);
    const eligible = better.filter(
      (other) => ineligibleReasons(connection, candidates(other, true), now).length === 0,
    );
    const fares = await this.nodes.wellBeing(tx, clusterId, eligible);
    return eligible.some((other) => isWell(fares.get(other)?.health)) ? until : null;
  }
}

/** The preferred nodes that come before the node, the most preferred first. */
export function betterPlaced(places: readonly Place[], nodeId: string): string[] {
  const own = places.find((place) => place.nodeId === nodeId)?.preference ?? Number.POSITIVE_INFINITY;
  return places
    .filter(({ preference }) => preference !== null && preference < own)
    .map((place) => place.nodeId);
}

/** Whether a node of this health can be counted on. */
export function isWell(health: string | undefined): boolean {
  return health === 'online' || health === 'degraded';
}

function windowMs({ leaseTtlSeconds }: LeasedConnection): number {
  return Math.min(leaseTtlSeconds, WINDOW_SECONDS) * 1_000;
}

/** Since when somebody could have taken the connection. */
function freeSince(
  { enabledAt, fenceHeldUntil, reservedUntil }: LeasedConnection,
  former: FormerLease | null,
  now: Date,
): number {
  const past = [enabledAt, former?.endedAt ?? null, fenceHeldUntil, reservedUntil].filter(
    (instant): instant is Date => instant !== null && instant <= now,
  );
  return Math.max(0, ...past.map(Number));
}
