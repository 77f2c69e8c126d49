import { Body, Controller, Post, Put } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { CurrentActor, CurrentNode } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Actor } from '../../common/request/actor.js';
import { Heartbeat, HeartbeatAnswer, ReportCapabilities, ReportedCapabilities } from './heartbeats.schema.js';
import { HeartbeatsService } from './heartbeats.service.js';
import { MembershipsService } from './memberships.service.js';

@ApiTags('Node agents')
@Controller('api/v1/node-agents/me')
export class NodeAgentsController {
  constructor(
    private readonly heartbeats: HeartbeatsService,
    private readonly memberships: MembershipsService,
  ) {}

  @Post('heartbeat')
  @Route({
    id: 'sendHeartbeat',
    summary: 'Say that the node lives, and how it is',
    description: 'Durable when answered. Members that this version does not know are ignored.',
    access: 'node',
    mutates: false,
    body: Heartbeat,
    bodyExample: {
      agentVersion: '0.1.0',
      sequence: 17,
      agentInstanceId: '0c1f6f0e-6f0f-4a3e-9a43-6f6f8f0f9d11',
      appliedGeneration: 3,
    },
    response: HeartbeatAnswer,
  })
  heartbeat(
    @CurrentActor() actor: Actor,
    @CurrentNode() node: NodePrincipal,
    @Body() body: Heartbeat,
  ): Promise<HeartbeatAnswer> {
    return this.heartbeats.receive(actor, { ...body, ...node });
  }

  @Put('capabilities')
  @Route({
    id: 'reportCapabilities',
    summary: 'Say what the host can do, and what it is',
    access: 'node',
    mutates: false,
    body: ReportCapabilities,
    bodyExample: {
      capabilities: ['can_run_vpn_exit'],
      facts: { os: 'linux', arch: 'x64', hostname: 'edge-1' },
    },
    response: ReportedCapabilities,
  })
  report(
    @CurrentActor() actor: Actor,
    @CurrentNode() node: NodePrincipal,
    @Body() body: z.infer<typeof ReportCapabilities>,
  ): Promise<ReportedCapabilities> {
    return this.memberships.report(actor, node.clusterId, node.nodeId, body);
  }
}
