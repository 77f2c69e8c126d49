import { type BeforeApplicationShutdown, Injectable } from '@nestjs/common';
import { Gauge } from 'prom-client';
import { Authenticators } from '../auth/authenticators.js';
import type { Permission } from '../auth/permissions.js';
import { clustersWith, type Principal } from '../auth/principal.js';
import { notFound, unavailable } from '../errors/domain-error.js';
import { Metrics } from '../observability/metrics.js';
import type { RequestContext } from '../request/request-context.js';
import { ChangeReader } from './change-reader.js';
import { type EventResource, EventStream } from './event-stream.js';
import { OrderedFeed } from './ordered-feed.js';

/** As the contract says. */
const ALIVE_MS = 15_000;
/** Every fourth comment: once a minute. */
const BEATS_PER_RECHECK = 4;
/** Streams of one process: each holds a connection and a buffer. */
const MAX_STREAMS = 2_000;
const RETRY_SECONDS = 5;

/** Whose stream it is, and how to find out whether they still may. */
export interface Follower {
  principal: Principal;
  /** The bearer credential as it was sent. */
  credential: string;
  request: RequestContext;
  /** null: every cluster that they may see. */
  clusterId: string | null;
  /** What they need to follow it. */
  permission: Permission;
  /** Only what is about this resource. */
  resource?: EventResource;
}

/** The open event streams of this process: feeds them, keeps them alive, and ends them when their time has come. */
@Injectable()
export class EventStreams implements BeforeApplicationShutdown {
  /** How many comments there are to one look at the credentials of all. */
  beatsPerRecheck = BEATS_PER_RECHECK;
  private readonly open = new Map<EventStream, Follower>();
  private timer: NodeJS.Timeout | undefined;
  private beats = 0;
  private isClosing = false;
  private unfollow: readonly (() => void)[] = [];

  constructor(
    private readonly feed: OrderedFeed,
    private readonly reader: ChangeReader,
    private readonly authenticators: Authenticators,
    metrics: Metrics,
  ) {
    const streams: Gauge = new Gauge({
      name: 'fabric_event_streams',
      help: 'Open streams of events.',
      registers: [metrics.registry],
      collect: () => streams.set(this.open.size),
    });
  }

  /**
   * Opens a stream after `cursor`, or from now on where that is null.
   * @throws not_found for a cluster that the principal may not follow; unavailable
   */
  async follow(follower: Follower, cursor: number | null): Promise<EventStream> {
    const clusters = visibleTo(follower.principal, follower);
    if (clusters?.length === 0) throw notFound('not_found', 'There is no such cluster.');
    if (this.isClosing || this.open.size >= MAX_STREAMS) {
      const message = this.isClosing
        ? 'The service is stopping.'
        : 'This instance has no room for another stream.';
      throw unavailable('unavailable', message, { retryAfterSeconds: RETRY_SECONDS });
    }
    await this.feed.sync();
    const stream = new EventStream(this.feed, { cursor, clusters, resource: follower.resource });
    stream.once('close', () => this.forget(stream));
    this.open.set(stream, follower);
    if (this.open.size === 1) this.start();
    return stream;
  }

  /** Ends them all, since a server does not stop while it answers. */
  beforeApplicationShutdown(): void {
    this.isClosing = true;
    for (const stream of this.open.keys()) stream.finish();
    this.stop();
  }

  private start(): void {
    this.timer = setInterval(() => this.beat(), ALIVE_MS).unref();
    this.unfollow = [
      this.feed.follow(() => {
        for (const stream of this.open.keys()) stream.advance();
      }),
      // A change to a credential closes its streams at once; the look each minute is for what the feed does not tell.
      this.reader.subscribe((changes) => {
        const changed = new Set(changes.map((change) => change.resourceId));
        this.recheckThose((follower) => changed.has(follower.principal.actor.id ?? ''));
      }),
    ];
  }

  private stop(): void {
    clearInterval(this.timer);
    for (const end of this.unfollow) end();
    this.unfollow = [];
  }

  private forget(stream: EventStream): void {
    if (this.open.delete(stream) && this.open.size === 0) this.stop();
  }

  private beat(): void {
    this.beats += 1;
    for (const stream of this.open.keys()) stream.keepAlive();
    if (this.beats % this.beatsPerRecheck === 0) this.recheckThose(() => true);
  }

  private recheckThose(which: (follower: Follower) => boolean): void {
    for (const [stream, follower] of this.open) {
      if (which(follower)) void this.recheck(stream, follower);
    }
  }

  private async recheck(stream: EventStream, follower: Follower): Promise<void> {
    const { credential, request } = follower;
    // While the database is away nobody can be checked, and no event comes either.
    const answer = await this.authenticators.authenticate(credential, request).catch(() => null);
    if (answer === null) return;
    const clusters = 'principal' in answer ? visibleTo(answer.principal, follower) : [];
    if (clusters?.length === 0) stream.finish();
    else stream.narrow(clusters);
  }
}

/** The clusters whose events a follower gets; null: everything, empty: nothing. */
function visibleTo(
  principal: Principal,
  { clusterId, permission }: Pick<Follower, 'clusterId' | 'permission'>,
): readonly string[] | null {
  const clusters = clustersWith(principal, permission);
  if (clusterId === null) return clusters;
  return clusters === null || clusters.includes(clusterId) ? [clusterId] : [];
}
