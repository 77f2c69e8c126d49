/** Why an assignment that is prepared waits, or has gone although its node held a VPN lease. */
export const LEASE_REASONS = {
  /** A candidate has been asked to take over, or will be. */
  waiting: 'vpn_lease_handover',
  /** Nobody else could hold the connection. */
  noCandidate: 'vpn_lease_no_candidate',
  /** It was not taken over in time. */
  overdue: 'vpn_lease_handover_overdue',
} as const;
export type LeaseReason = (typeof LEASE_REASONS)[keyof typeof LEASE_REASONS];

/** A node that has prepared and could go out of service. */
export interface ReadyNode {
  assignmentId: string;
  nodeId: string;
  /** What has become of its leases; null: nobody has looked. */
  reason: string | null;
  waitUntil: Date | null;
}

/** Who goes out of service now, and whose leases are to be handed over first. */
export interface Departures {
  go: { assignmentId: string; nodeId: string; reason: LeaseReason | null }[];
  begin: { assignmentId: string; nodeId: string }[];
}

/**
 * No node goes that holds a VPN lease, or is about to take one, before that is another's: as long as there may be another,
 * and for no longer than it may wait. Who waits keeps nobody behind it, and leases are asked of no more nodes than could
 * go now, so that few move in vain.
 *
 * @param ready in the order in which they go
 * @param bound nodes that hold a lease, or that one is reserved for
 */
export function departures(
  ready: readonly ReadyNode[],
  bound: ReadonlySet<string>,
  free: number,
  now: Date,
): Departures {
  const { waiting, noCandidate, overdue } = LEASE_REASONS;
  const go: Departures['go'] = [];
  const begin: Departures['begin'] = [];
  let asked = 0;
  for (const { assignmentId, nodeId, reason, waitUntil } of ready) {
    if (go.length >= free) break;
    const waits = waitUntil !== null && (reason === waiting || reason === noCandidate);
    if (!bound.has(nodeId)) go.push({ assignmentId, nodeId, reason: null });
    else if (waits && reason === noCandidate) go.push({ assignmentId, nodeId, reason: noCandidate });
    else if (waits && waitUntil <= now) go.push({ assignmentId, nodeId, reason: overdue });
    else if (asked < free) {
      asked += 1;
      if (!waits) begin.push({ assignmentId, nodeId });
    }
  }
  return { go, begin };
}
