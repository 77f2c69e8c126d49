import { Body, Controller, Get, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { Principal } from '../../common/auth/principal.js';
import {
  ClusterId,
  CurrentActor,
  CurrentPrincipal,
  PathId,
  ValidQuery,
} from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { JoinApprovalsService } from './join-approvals.service.js';
import {
  ApproveJoinRequest,
  JoinRequestPage,
  JoinRequestQuery,
  JoinRequestView,
  RejectJoinRequest,
} from './join-requests.schema.js';
import { JoinRequestsService, joinRequestEtag } from './join-requests.service.js';

@ApiTags('Enrollment')
@Controller('api/v1/clusters/:cluster/join-requests')
export class JoinRequestsController {
  constructor(
    private readonly requests: JoinRequestsService,
    private readonly approvals: JoinApprovalsService,
  ) {}

  @Get()
  @Route({
    id: 'listJoinRequests',
    summary: 'List join requests, newest first',
    access: { permission: 'join_requests.read' },
    query: JoinRequestQuery,
    response: JoinRequestPage,
  })
  list(
    @ClusterId() clusterId: string,
    @ValidQuery() query: z.infer<typeof JoinRequestQuery>,
  ): Promise<Page<JoinRequestView>> {
    return this.requests.list(clusterId, query);
  }

  @Get(':request')
  @Route({
    id: 'getJoinRequest',
    summary: 'Read a join request with what a reviewer should know',
    access: { permission: 'join_requests.read' },
    response: JoinRequestView,
    etag: joinRequestEtag,
  })
  get(@ClusterId() clusterId: string, @PathId('request') id: string): Promise<JoinRequestView> {
    return this.requests.get(clusterId, id);
  }

  @Post(':request/approve')
  @Route({
    id: 'approveJoinRequest',
    summary: 'Admit the node of a join request',
    description:
      'With `requestDigest` it approves exactly what was reviewed. Giving roles needs role_assignments.create. With ' +
      '`existingNodeId` a host that is a member of another cluster gets one more membership instead of becoming a node; ' +
      'a member of this cluster whose key was revoked gets the new key, and stays what it was otherwise.',
    access: { permission: 'join_requests.approve' },
    highRisk: true,
    guardedByAuthority: true,
    body: ApproveJoinRequest,
    bodyOptional: true,
    bodyExample: { labels: { site: 'msk' }, roles: ['vpn-exit'] },
    response: JoinRequestView,
    etag: joinRequestEtag,
    problems: [
      'token_maker_may_not_approve',
      'join_request_decided',
      'join_request_changed',
      'node_name_taken',
      'key_already_enrolled',
      'node_already_member',
      'node_revoked',
      'membership_revoked',
      'node_not_found',
      'host_proof_invalid',
      'capability_missing',
      'outside_token_scope',
      'group_not_found',
      'cluster_archived',
      'cluster_not_authoritative',
    ],
  })
  approve(
    @CurrentPrincipal() principal: Principal,
    @ClusterId() clusterId: string,
    @PathId('request') id: string,
    @Body() body: z.infer<typeof ApproveJoinRequest>,
  ): Promise<JoinRequestView> {
    return this.approvals.approve(principal, clusterId, id, body);
  }

  @Post(':request/reject')
  @Route({
    id: 'rejectJoinRequest',
    summary: 'Refuse the node of a join request; the use of the token is given back',
    access: { permission: 'join_requests.reject' },
    body: RejectJoinRequest,
    bodyExample: { reason: 'Nobody knows this host.' },
    response: JoinRequestView,
    etag: joinRequestEtag,
    problems: ['join_request_decided', 'cluster_archived'],
  })
  reject(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('request') id: string,
    @Body() body: z.infer<typeof RejectJoinRequest>,
  ): Promise<JoinRequestView> {
    return this.requests.reject(actor, clusterId, id, body.reason);
  }
}
