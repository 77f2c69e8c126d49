import { Controller, Get, Header, Headers, Req } from '@nestjs/common';
import { ApiHeader, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Principal } from '../../common/auth/principal.js';
import { ClusterId, CurrentPrincipal, PathId } from '../../common/auth/request-principal.js';
import { bearerOf, cursorOf } from '../../common/changes/event-cursor.js';
import type { EventStream } from '../../common/changes/event-stream.js';
import { EventStreams } from '../../common/changes/event-streams.js';
import { Route } from '../../common/http/operation.js';
import { contextOf } from '../../common/http/request-hooks.js';
import { RolloutsService } from './rollouts.service.js';

@ApiTags('Rollouts')
@Controller('api/v1/clusters/:cluster/rollouts/:rollout/events')
export class RolloutStreamController {
  constructor(
    private readonly streams: EventStreams,
    private readonly rollouts: RolloutsService,
  ) {}

  @Get()
  @Route({
    id: 'followRollout',
    summary: 'Follow what happens to a rollout',
    description:
      'Server-sent events as in `followEvents`, of this rollout alone: it moved, a wave did, nodes were offered or granted, a node reported. Ids are positions of the one feed: `Last-Event-ID` goes on behind it, on any instance.',
    access: { permission: 'rollouts.read' },
    response: z.string(),
    responseType: 'text/event-stream',
    responseDescription: 'The stream; it ends only when the service stops or the credential does.',
    responseExample:
      'id: 4711\ndata: {"id":"4711","kind":"rollout.wave_moved","resourceType":"rollout","resourceId":"019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21","clusterId":"019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21","revision":null,"occurredAt":"2026-11-23T08:00:00.000Z"}\n\n',
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
    @ClusterId() clusterId: string,
    @PathId('rollout') id: string,
    @Headers('last-event-id') sent: string | undefined,
    @Req() request: FastifyRequest,
  ): Promise<EventStream> {
    await this.rollouts.read(clusterId, id);
    const caller = { principal, credential: bearerOf(request), request: contextOf(request) };
    const what = { clusterId, permission: 'rollouts.read' as const, resource: { type: 'rollout', id } };
    const stream = await this.streams.follow({ ...caller, ...what }, cursorOf(sent));
    // The answer to HEAD has no body, and a stream that nobody reads would stay open for ever.
    if (request.method === 'HEAD') stream.finish();
    return stream;
  }
}
