import { Injectable } from '@nestjs/common';
import { Batches } from '../../common/batching/batches.js';
import type { Actor } from '../../common/request/actor.js';
import { HeartbeatFollowers } from './heartbeat-followers.js';
import { nextBeatSeconds } from './heartbeat-pace.js';
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

/** Gathers heartbeats for a moment and writes them together: durable when answered, one commit for many nodes. */
@Injectable()
export class HeartbeatsService {
  private readonly batches: Batches<NodeHeartbeat, HeartbeatRow>;

  constructor(
    heartbeats: HeartbeatsRepository,
    private readonly risks: RiskyStatesService,
    private readonly followers: HeartbeatFollowers,
  ) {
    this.batches = new Batches<NodeHeartbeat, HeartbeatRow>({
      keyOf: nodeKey,
      write: async (beats) => new Map((await heartbeats.write(beats)).map((row) => [nodeKey(row), row])),
      gatherMs: GATHER_MS,
      size: BATCH,
      maxWrites: MAX_WRITES,
      maxWaiting: MAX_WAITING,
    });
  }

  /** @throws unauthenticated when the node is no live member; unavailable when the database does not keep up */
  async receive(actor: Actor, beat: NodeHeartbeat): Promise<HeartbeatAnswer> {
    const row = await this.batches.add(beat);
    if (row === null) throw membershipOver();
    if (row.cloneSign !== null) await this.risks.noteClone(actor, beat);
    await this.followers.follow(actor, beat, row);
    return {
      serverTime: row.serverTime.toISOString(),
      nextHeartbeatSeconds: nextBeatSeconds(beat.nodeId, row.heartbeatSeconds, row.serverTime),
      snapshotGeneration: row.snapshotGeneration,
      authorityTerm: row.authorityTerm,
      authorityHolder: row.authorityHolder,
      revocationEpoch: row.revocationEpoch,
      trustBundle: row.trustBundle,
    };
  }
}

function nodeKey({ clusterId, nodeId }: { clusterId: string; nodeId: string }): string {
  return `${clusterId}/${nodeId}`;
}
