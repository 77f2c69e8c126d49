import { Injectable } from '@nestjs/common';
import { DatabaseClock } from '../../common/database/database-clock.js';
import { Metrics } from '../../common/observability/metrics.js';
import { letsIn, type NodeState, nodeStateKey } from '../nodes/node-state.js';
import { NodeStates } from '../nodes/node-states.js';
import { EarlyHold } from './early-hold.js';
import { type EarlyPoll, POLL_ROUTE, respond } from './early-poll.js';
import { HeldPolls } from './held-polls.js';
import { currentSnapshot } from './issue.js';
import { SecondTurn } from './second-turn.js';
import { type SignedSnapshot, SnapshotIssuer } from './snapshot-issuer.js';
import type { PollAnswer } from './snapshot-polls.service.js';
import type { Wanted } from './snapshot-preparer.js';

/** Polls that are looked at together, and how many such groups at a time. */
const GROUP = 250;
const GROUPS = 4;
/** Those that are woken within a moment are looked at together. */
const GATHER_MS = 1;

/**
 * Holds polls whose ETag is current. A change of a cluster concerns thousands of them: they are looked at, rendered,
 * signed and answered by groups, with a handful of promises for each group and none for a poll.
 */
@Injectable()
export class EarlyCrowd {
  private readonly woken = new Set<EarlyHold>();
  private readonly wake = (hold: EarlyHold): void => {
    // What is new is told when it comes back.
    if (hold.isStopping) this.stay(hold, 0);
    else {
      this.woken.add(hold);
      this.timer ??= setTimeout(() => this.begin(), GATHER_MS);
    }
  };
  private readonly leave = (hold: EarlyHold): void => void this.drop(hold);
  private timer: NodeJS.Timeout | null = null;
  private groups = 0;
  private readonly second = new SecondTurn();

  constructor(
    private readonly held: HeldPolls,
    private readonly states: NodeStates,
    private readonly clock: DatabaseClock,
    private readonly issuer: SnapshotIssuer,
    private readonly metrics: Metrics,
  ) {}

  /** Holds a poll until its time is over or something concerns it, from the state on that its node is known by. */
  hold(poll: EarlyPoll): void {
    const { clusterId, nodeId, state } = poll.node;
    // To its end: what is left unread is read when it has been answered, and the connection with it.
    poll.request.resume();
    const hold = new EarlyHold(poll, this.wake, this.leave);
    this.held.add(clusterId, nodeId, hold, poll.wantsHints);
    if (!hold.isOver) this.stay(hold, currentSnapshot(nodeId, state, this.clock.now()).untilMs);
  }

  private begin(): void {
    this.timer = null;
    while (this.woken.size > 0 && this.groups < GROUPS) {
      const group: EarlyHold[] = [];
      for (const hold of this.woken) {
        this.woken.delete(hold);
        hold.look();
        if (group.push(hold) === GROUP) break;
      }
      this.groups += 1;
      void this.look(group).finally(() => {
        this.groups -= 1;
        this.begin();
        if (this.groups === 0) this.second.begin();
      });
    }
  }

  /** Whether others wait than those of the group that is being answered. */
  private get hasMore(): boolean {
    return this.groups > 1 || this.woken.size > 0;
  }

  /** Whatever goes wrong is for the usual way to tell. */
  private async look(group: readonly EarlyHold[]): Promise<void> {
    try {
      const wanted = this.sort(group, await this.states.getAll(group.map(({ poll }) => poll.node)));
      const signed = await this.issuer.signTogether([...wanted.values()]);
      for (const hold of wanted.keys()) this.answer(hold, signed.get(nodeStateKey(hold.poll.node)));
    } catch {
      for (const hold of group) this.send(hold);
    }
  }

  /** Answers those, or lets them wait on, for whom nothing new is there; returns what the others want. */
  private sort(group: readonly EarlyHold[], states: ReadonlyMap<string, NodeState>): Map<EarlyHold, Wanted> {
    const asOf = this.clock.now();
    const wanted = new Map<EarlyHold, Wanted>();
    for (const hold of group) {
      const { clusterId, nodeId, identityId } = hold.poll.node;
      const state = states.get(nodeStateKey(hold.poll.node)) ?? null;
      if (!letsIn(state, identityId)) this.send(hold);
      else {
        const { etag, nextEtag, untilMs } = currentSnapshot(nodeId, state, asOf);
        const { ifNoneMatch } = hold.poll;
        if (ifNoneMatch === etag || ifNoneMatch === nextEtag) this.stay(hold, untilMs);
        else wanted.set(hold, { clusterId, nodeId, asOf, state });
      }
    }
    return wanted;
  }

  private answer(hold: EarlyHold, signed: SignedSnapshot | undefined): void {
    if (signed === undefined) this.send(hold);
    // Another instance may have told the node what this one has not heard of yet.
    else if (signed.etag === hold.poll.ifNoneMatch) this.stay(hold, 1);
    else if (this.end(hold, { ...signed, hints: hold.hints }) && this.hasMore)
      this.second.add(hold.poll.request.socket);
  }

  /** Nothing new: it waits on, unless there is another reason to answer. */
  private stay(hold: EarlyHold, untilMs: number): void {
    const { poll, hints, isStopping } = hold;
    const leftMs = hold.deadline - performance.now();
    const retryAfterSeconds = isStopping ? this.held.returnAfterSeconds(poll.node.nodeId) : null;
    if (leftMs <= 0 || isStopping || hints.length > 0)
      this.end(hold, { notModified: poll.ifNoneMatch, retryAfterSeconds, hints });
    else if (!hold.isOver) hold.stay(Math.min(leftMs, untilMs));
  }

  /** False: it was over already. */
  private end(hold: EarlyHold, answer: PollAnswer): boolean {
    if (!this.drop(hold)) return false;
    respond(hold.poll, answer);
    this.metrics.countHeld('GET', POLL_ROUTE, hold.poll.response.statusCode);
    return true;
  }

  private send(hold: EarlyHold): void {
    if (this.drop(hold)) hold.poll.goOn();
  }

  /** False: it was over already. */
  private drop(hold: EarlyHold): boolean {
    if (hold.isOver) return false;
    hold.end();
    this.woken.delete(hold);
    this.held.remove(hold.poll.node.clusterId, hold.poll.node.nodeId, hold);
    return true;
  }
}
