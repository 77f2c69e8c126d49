import { Injectable } from '@nestjs/common';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { DatabaseClock } from '../../common/database/database-clock.js';
import { matchesIfNoneMatch } from '../../common/http/etag.js';
import { membershipOver } from '../nodes/membership.js';
import { letsIn } from '../nodes/node-state.js';
import { NodeStates } from '../nodes/node-states.js';
import type { Departure } from './departure.js';
import { HeldPolls } from './held-polls.js';
import { currentSnapshot } from './issue.js';
import { type SignedSnapshot, SnapshotIssuer } from './snapshot-issuer.js';
import type { Watch } from './watch.js';

/** What a node asks for. */
export interface SnapshotPoll {
  ifNoneMatch: string | null;
  /** How long the answer may wait for something new; counts only with a match. */
  waitSeconds: number;
  /** Whether a held poll is answered for a hint of leases, too. */
  wantsHints: boolean;
  caller: Departure;
}

/** A snapshot, or the ETag of the one that the node has; with when to come back, where that is not at once. */
export type PollAnswer = (SignedSnapshot | { notModified: string; retryAfterSeconds: number | null }) & {
  /** The VPN connections at whose lease to look. */
  hints: readonly string[];
};

/** What is current for a node: what it has already, until `untilMs` from now, or something new. */
type Look = { has: string; untilMs: number } | { fresh: SignedSnapshot };

/** Answers the polls of nodes: an unchanged one from memory, a changed one rendered, signed and kept. */
@Injectable()
export class SnapshotPolls {
  constructor(
    private readonly states: NodeStates,
    private readonly clock: DatabaseClock,
    private readonly held: HeldPolls,
    private readonly issuer: SnapshotIssuer,
  ) {}

  /** @throws unauthenticated when the membership, or the key of the caller, ends while the poll is held */
  async poll(
    node: NodePrincipal,
    { ifNoneMatch, waitSeconds, wantsHints, caller }: SnapshotPoll,
  ): Promise<PollAnswer> {
    if (ifNoneMatch === null || waitSeconds === 0) return answerOf(await this.look(node, ifNoneMatch), []);
    const watch = this.held.watch(node.clusterId, node.nodeId, { caller, wantsHints });
    try {
      return await this.hold(node, ifNoneMatch, waitSeconds * 1000, watch);
    } finally {
      watch.close();
    }
  }

  private async hold(
    node: NodePrincipal,
    ifNoneMatch: string,
    waitMs: number,
    watch: Watch,
  ): Promise<PollAnswer> {
    const deadline = performance.now() + waitMs;
    for (;;) {
      const look = await this.look(node, ifNoneMatch);
      const leftMs = deadline - performance.now();
      if ('fresh' in look || leftMs <= 0 || watch.hints.length > 0) return answerOf(look, watch.hints);
      const release = await watch.next(Math.max(1, Math.min(leftMs, look.untilMs)));
      if (release === 'gone') return answerOf(look, []);
      if (release === 'stopping') {
        const retryAfterSeconds = this.held.returnAfterSeconds(node.nodeId);
        return { notModified: look.has, retryAfterSeconds, hints: [] };
      }
    }
  }

  private async look(
    { clusterId, nodeId, identityId }: NodePrincipal,
    ifNoneMatch: string | null,
  ): Promise<Look> {
    const state = await this.states.get(clusterId, nodeId);
    if (!letsIn(state, identityId)) throw membershipOver();
    const now = this.clock.now();
    const { etag, nextEtag, untilMs } = currentSnapshot(nodeId, state, now);
    const has = (current: string) => ifNoneMatch !== null && matchesIfNoneMatch(ifNoneMatch, current);
    if (has(etag)) return { has: etag, untilMs };
    // An instance whose clock is a moment ahead has issued the next one, and nobody takes an earlier one after it.
    if (has(nextEtag)) return { has: nextEtag, untilMs };
    const signed = await this.issuer.sign({ clusterId, nodeId, asOf: now, state }, etag);
    if (signed === null) throw membershipOver();
    // Another instance may have told the node what this one has not heard of yet.
    return has(signed.etag) ? { has: signed.etag, untilMs } : { fresh: signed };
  }
}

function answerOf(look: Look, hints: readonly string[]): PollAnswer {
  return 'fresh' in look
    ? { ...look.fresh, hints }
    : { notModified: look.has, retryAfterSeconds: null, hints };
}
