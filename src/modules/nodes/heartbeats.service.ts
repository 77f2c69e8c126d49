import { Injectable } from '@nestjs/common';
import { isUnavailable } from '../../common/database/postgres-errors.js';
import { unavailable } from '../../common/errors/domain-error.js';
import type { Actor } from '../../common/request/actor.js';
import { HeartbeatFollowers } from './heartbeat-followers.js';
import { type HeartbeatRow, HeartbeatsRepository, type NodeHeartbeat } from './heartbeats.repository.js';
import type { HeartbeatAnswer } from './heartbeats.schema.js';
import { membershipOver } from './membership.js';
import { RiskyStatesService } from './risky-states.service.js';

/** Heartbeats that wait this long, in milliseconds, share one commit. */
const GATHER_MS = 4;
/** A batch of this size is written at once; larger ones gain nothing more. */
const BATCH = 500;
/** Beyond this the database does not keep up, and agents are told to come back. */
const MAX_WAITING = 20_000;
/** Batches on their way at a time, so that heartbeats leave the pool to others. */
const MAX_WRITES = 4;
const RETRY_AFTER_SECONDS = 5;

interface Waiting {
  beat: NodeHeartbeat;
  resolve: (row: HeartbeatRow | null) => void;
  reject: (error: unknown) => void;
}

/** Gathers heartbeats for a moment and writes them together: durable when answered, one commit for many nodes. */
@Injectable()
export class HeartbeatsService {
  private queue: Waiting[] = [];
  private timer: NodeJS.Timeout | null = null;
  private writes = 0;
  /** Nodes with a heartbeat on its way to the database: the next one waits, so that none overtakes another. */
  private readonly writing = new Set<string>();

  constructor(
    private readonly heartbeats: HeartbeatsRepository,
    private readonly risks: RiskyStatesService,
    private readonly followers: HeartbeatFollowers,
  ) {}

  /** @throws unauthenticated when the node is no live member; unavailable when the database does not keep up */
  async receive(actor: Actor, beat: NodeHeartbeat): Promise<HeartbeatAnswer> {
    if (this.queue.length >= MAX_WAITING) {
      throw unavailable('unavailable', 'Too many heartbeats are waiting.', {
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      });
    }
    const row = await new Promise<HeartbeatRow | null>((resolve, reject) => {
      this.queue.push({ beat, resolve, reject });
      this.schedule();
    });
    if (row === null) throw membershipOver();
    if (row.cloneSign !== null) await this.risks.noteClone(actor, beat);
    await this.followers.follow(actor, beat, row);
    return {
      serverTime: row.serverTime.toISOString(),
      nextHeartbeatSeconds: row.heartbeatSeconds,
      snapshotGeneration: row.snapshotGeneration,
      authorityTerm: row.authorityTerm,
      authorityHolder: row.authorityHolder,
      revocationEpoch: row.revocationEpoch,
      trustBundle: row.trustBundle,
    };
  }

  private schedule(): void {
    if (this.queue.length >= BATCH) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), GATHER_MS);
  }

  private flush(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    while (this.queue.length > 0 && this.writes < MAX_WRITES) {
      const batch = this.takeBatch();
      if (batch.length === 0) return;
      const nodes = batch.map(({ beat }) => nodeKey(beat));
      for (const node of nodes) this.writing.add(node);
      this.writes += 1;
      void this.write(batch).finally(() => {
        this.writes -= 1;
        for (const node of nodes) this.writing.delete(node);
        if (this.queue.length > 0) this.schedule();
      });
    }
  }

  /** Up to a batch with each node once; a second heartbeat of a node waits until the first one is written. */
  private takeBatch(): Waiting[] {
    const taken = new Map<string, Waiting>();
    const left: Waiting[] = [];
    for (const waiting of this.queue) {
      const key = nodeKey(waiting.beat);
      if (taken.size < BATCH && !taken.has(key) && !this.writing.has(key)) taken.set(key, waiting);
      else left.push(waiting);
    }
    this.queue = left;
    return [...taken.values()];
  }

  /** Writes a batch; one that fails is split, so that what one node sends cannot hold up the others. */
  private async write(batch: readonly Waiting[]): Promise<void> {
    try {
      const rows = await this.heartbeats.write(batch.map(({ beat }) => beat));
      const byNode = new Map(rows.map((row) => [nodeKey(row), row]));
      for (const { beat, resolve } of batch) resolve(byNode.get(nodeKey(beat)) ?? null);
    } catch (error) {
      const [first] = batch;
      // That the database is away is no node's fault, and every part would wait for it again.
      if (isUnavailable(error)) for (const { reject } of batch) reject(error);
      else if (batch.length === 1) first?.reject(error);
      else {
        const middle = Math.ceil(batch.length / 2);
        await this.write(batch.slice(0, middle));
        await this.write(batch.slice(middle));
      }
    }
  }
}

function nodeKey({ clusterId, nodeId }: { clusterId: string; nodeId: string }): string {
  return `${clusterId}/${nodeId}`;
}
