import { Injectable } from '@nestjs/common';
import type { Actor } from '../../common/request/actor.js';
import type { HeartbeatRow, NodeHeartbeat } from './heartbeats.repository.js';

/** Looks at a heartbeat that is written; undefined, without a promise, when there is nothing in it to act upon. */
export type HeartbeatFollower = (
  actor: Actor,
  beat: NodeHeartbeat,
  row: HeartbeatRow,
) => Promise<void> | undefined;

/**
 * Who reads what heartbeats carry for others than this module. Followers run after the heartbeat is durable and before
 * it is answered, so that what they write is durable too. One that fails fails the heartbeat: the agent repeats it, so
 * a follower takes the same report twice without harm. Most heartbeats bring no news, and then a follower costs nothing.
 */
@Injectable()
export class HeartbeatFollowers {
  private readonly followers: HeartbeatFollower[] = [];

  add(follower: HeartbeatFollower): void {
    this.followers.push(follower);
  }

  async follow(actor: Actor, beat: NodeHeartbeat, row: HeartbeatRow): Promise<void> {
    for (const follower of this.followers) {
      const work = follower(actor, beat, row);
      if (work !== undefined) await work;
    }
  }
}
