import { Injectable } from '@nestjs/common';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { DatabaseClock } from '../../common/database/database-clock.js';
import { matchesIfNoneMatch } from '../../common/http/etag.js';
import { membershipOver } from '../nodes/membership.js';
import { type NodeState, NodeStates } from '../nodes/node-states.js';
import { HeldPolls } from './held-polls.js';
import { type Issue, issueAt } from './issue.js';
import { type SignedSnapshot, SnapshotIssuer, snapshotEtag } from './snapshot-issuer.js';

/** What a node asks for. */
export interface SnapshotPoll {
  ifNoneMatch: string | null;
  /** How long the answer may wait for something new; counts only with a match. */
  waitSeconds: number;
  /** Aborted when the caller is gone. */
  gone: AbortSignal;
}

/** A snapshot, or the ETag of the one that the node has. */
export type PollAnswer = SignedSnapshot | { notModified: string };

/** Answers the polls of nodes: an unchanged one from memory, a changed one rendered and signed. */
@Injectable()
export class SnapshotPolls {
  constructor(
    private readonly states: NodeStates,
    private readonly clock: DatabaseClock,
    private readonly held: HeldPolls,
    private readonly issuer: SnapshotIssuer,
  ) {}

  /** @throws unauthenticated when the membership ends while the poll is held */
  async poll(
    { clusterId, nodeId }: NodePrincipal,
    { ifNoneMatch, waitSeconds, gone }: SnapshotPoll,
  ): Promise<PollAnswer> {
    const deadline = performance.now() + waitSeconds * 1000;
    for (;;) {
      const state = await this.states.get(clusterId, nodeId);
      if (state === null || state.membershipStatus === 'revoked') throw membershipOver();
      const issue = this.issue(nodeId, state);
      const etag = snapshotEtag(state.authorityTerm, state.generation, issue.number);
      if (ifNoneMatch === null || !matchesIfNoneMatch(ifNoneMatch, etag))
        return this.issuer.sign(clusterId, nodeId, etag);
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) return { notModified: etag };
      const untilIssueMs = issue.endsAt.getTime() - this.clock.now().getTime();
      const release = await this.held.wait(
        clusterId,
        nodeId,
        Math.max(1, Math.min(leftMs, untilIssueMs)),
        gone,
      );
      if (release === 'stopping' || release === 'gone') return { notModified: etag };
    }
  }

  private issue(nodeId: string, state: NodeState): Issue {
    return issueAt(nodeId, state.snapshotLifetimeSeconds, this.clock.now());
  }
}
