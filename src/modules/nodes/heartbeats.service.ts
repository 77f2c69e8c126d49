import { Injectable } from '@nestjs/common';
import { unauthenticated, unavailable } from '../../common/errors/domain-error.js';
import { type HeartbeatRow, HeartbeatsRepository, type NodeHeartbeat } from './heartbeats.repository.js';
import type { HeartbeatAnswer } from './heartbeats.schema.js';

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

  constructor(private readonly heartbeats: HeartbeatsRepository) {}

  /** @throws unauthenticated when the node is no live member; unavailable when the database does not keep up */
  async receive(beat: NodeHeartbeat): Promise<HeartbeatAnswer> {
    if (this.queue.length >= MAX_WAITING) {
      throw unavailable('unavailable', 'Too many heartbeats are waiting.', {
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      });
    }
    const row = await new Promise<HeartbeatRow | null>((resolve, reject) => {
      this.queue.push({ beat, resolve, reject });
      this.schedule();
    });
    if (row === null)
      throw unauthenticated('unauthenticated', 'The bearer token is not valid.', {
        reason: 'the membership is revoked',
      });
    const { serverTime, heartbeatSeconds, snapshotGeneration, authorityTerm, revocationEpoch, trustBundle } =
      row;
    return {
      serverTime: serverTime.toISOString(),
      nextHeartbeatSeconds: heartbeatSeconds,
      snapshotGeneration,
      authorityTerm,
      revocationEpoch,
      trustBundle,
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
      this.writes += 1;
      void this.write(batch).finally(() => {
        this.writes -= 1;
        if (this.queue.length > 0) this.schedule();
      });
    }
  }

  /** Up to a batch with each node once; a second heartbeat of a node waits for the next one. */
  private takeBatch(): Waiting[] {
    const taken = new Map<string, Waiting>();
    const left: Waiting[] = [];
    for (const waiting of this.queue) {
      const key = `${waiting.beat.clusterId}/${waiting.beat.nodeId}`;
      if (taken.size < BATCH && !taken.has(key)) taken.set(key, waiting);
      else left.push(waiting);
    }
    this.queue = left;
    return [...taken.values()];
  }

  /** Writes a batch; one that fails is split, so that what one node sends cannot hold up the others. */
  private async write(batch: readonly Waiting[]): Promise<void> {
    try {
      const rows = await this.heartbeats.write(batch.map(({ beat }) => beat));
      const byNode = new Map(rows.map((row) => [`${row.clusterId}/${row.nodeId}`, row]));
      for (const { beat, resolve } of batch) resolve(byNode.get(`${beat.clusterId}/${beat.nodeId}`) ?? null);
    } catch (error) {
      const [first] = batch;
      if (batch.length === 1) first?.reject(error);
      else {
        const middle = Math.ceil(batch.length / 2);
        await this.write(batch.slice(0, middle));
        await this.write(batch.slice(middle));
      }
    }
  }
}
