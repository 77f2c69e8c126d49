import { Controller, Get, Header, Headers, Inject, Req } from '@nestjs/common';
import { ApiHeader, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { CLUSTER_RESOLVER, type ClusterResolver } from '../auth/cluster-resolver.js';
import type { Principal } from '../auth/principal.js';
import { CurrentPrincipal, ValidQuery } from '../auth/request-principal.js';
import { notFound } from '../errors/domain-error.js';
import { Id } from '../http/fields.js';
import { Route } from '../http/operation.js';
import { contextOf } from '../http/request-hooks.js';
import { bearerOf, CURSOR, cursorOf } from './event-cursor.js';
import type { EventStream } from './event-stream.js';
import { EventStreams } from './event-streams.js';

const EventsQuery = z.strictObject({
  clusterId: Id.optional().describe('Only events of this cluster.'),
  lastEventId: z.string().regex(CURSOR, 'Must be the id of an event.').optional().meta({
    description: 'Like the header `Last-Event-ID`, for clients that cannot set it.',
    example: '4711',
  }),
});

const DESCRIPTION = `Server-sent events, each with the data
\`{ id, kind, resourceType, resourceId, clusterId, revision, occurredAt }\`: ordered, without gaps, and limited to what the
caller may see. An event says that something changed; what it is now stands in the resource. After a lost connection
send the last id as \`Last-Event-ID\`: the stream goes on behind it. Events are kept for 7 days; an older or unknown id is
answered by an event of type \`reset\` with the data \`{ id, kind: "reset", reason }\`, after which the client reads anew what
it shows. Without an id the stream starts with what comes now. A comment comes every 15 s.`;

@ApiTags('Events')
@Controller('api/v1/events')
export class EventsController {
  constructor(
    private readonly streams: EventStreams,
    @Inject(CLUSTER_RESOLVER) private readonly clusters: ClusterResolver,
  ) {}

  @Get()
  @Route({
    id: 'followEvents',
    summary: 'Follow what changes',
    description: DESCRIPTION,
    access: { permission: 'events.read' },
    query: EventsQuery,
    response: z.string(),
    responseType: 'text/event-stream',
    responseDescription: 'The stream; it ends only when the service stops or the credential does.',
    responseExample:
      'id: 4711\ndata: {"id":"4711","kind":"cluster.created","resourceType":"cluster","resourceId":"019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21","clusterId":"019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21","revision":null,"occurredAt":"2026-11-23T08:00:00.000Z"}\n\n',
    problems: ['invalid_header'],
  })
  @ApiHeader({
    name: 'Last-Event-ID',
    required: false,
    description: 'Id of the last event that the client has.',
  })
  @Header('Cache-Control', 'no-store')
  @Header('X-Accel-Buffering', 'no')
  async follow(
    @CurrentPrincipal() principal: Principal,
    @ValidQuery() query: z.infer<typeof EventsQuery>,
    @Headers('last-event-id') sent: string | undefined,
    @Req() request: FastifyRequest,
  ): Promise<EventStream> {
    const { clusterId = null, lastEventId } = query;
    if (clusterId !== null && (await this.clusters.resolve(clusterId)) === null) {
      throw notFound('not_found', 'There is no such cluster.');
    }
    const credential = bearerOf(request);
    const follower = {
      principal,
      credential,
      request: contextOf(request),
      clusterId,
      permission: 'events.read' as const,
    };
    const stream = await this.streams.follow(follower, cursorOf(sent) ?? cursorOf(lastEventId));
    // The answer to HEAD has no body, and a stream that nobody reads would stay open for ever.
    if (request.method === 'HEAD') stream.finish();
    return stream;
  }
}
