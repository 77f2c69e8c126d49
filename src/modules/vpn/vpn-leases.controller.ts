import { Body, Controller, Get, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, CurrentActor, PathId, ValidQuery } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import { WithStatus } from '../../common/http/with-status.js';
import type { Actor } from '../../common/request/actor.js';
import { LeaseAcquiresService } from './lease-acquires.service.js';
import { LeaseFencesService } from './lease-fences.service.js';
import { LeaseHandoversService } from './lease-handovers.service.js';
import { LeaseReleasesService } from './lease-releases.service.js';
import { LeaseRenewals } from './lease-renewals.service.js';
import {
  AcquireExplanation,
  AcquireLease,
  ExplainQuery,
  FencedConnection,
  FenceLease,
  HandOverLease,
  HeldLease,
  LeasePage,
  LeaseQuery,
  LeaseView,
  leaseView,
  ReservedConnection,
} from './leases.schema.js';
import { LeasesService } from './leases.service.js';

const NODE = '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21';
const HELD = { nodeId: NODE, fencingToken: 4_294_967_297 };

@ApiTags('VPN connections')
@Controller('api/v1/clusters/:cluster/vpn-connections/:connection')
export class VpnLeasesController {
  constructor(
    private readonly leases: LeasesService,
    private readonly acquires: LeaseAcquiresService,
    private readonly renewals: LeaseRenewals,
    private readonly releases: LeaseReleasesService,
    private readonly fences: LeaseFencesService,
    private readonly handovers: LeaseHandoversService,
  ) {}

  @Get('lease')
  @Route({
    id: 'getVpnLease',
    summary: 'Read the active lease of a VPN connection',
    access: { permission: 'vpn_leases.read' },
    response: LeaseView,
  })
  active(@ClusterId() clusterId: string, @PathId('connection') id: string): Promise<LeaseView> {
    return this.leases.active(clusterId, id);
  }

  @Get('leases')
  @Route({
    id: 'listVpnLeases',
    summary: 'List the owner periods of a VPN connection, newest first',
    access: { permission: 'vpn_leases.read' },
    query: LeaseQuery,
    response: LeasePage,
  })
  list(
    @ClusterId() clusterId: string,
    @PathId('connection') id: string,
    @ValidQuery() query: z.infer<typeof LeaseQuery>,
  ): Promise<Page<LeaseView>> {
    return this.leases.list(clusterId, id, query);
  }

  @Get('leases/:lease')
  @Route({
    id: 'getVpnLeaseById',
    summary: 'Read one owner period of a VPN connection',
    access: { permission: 'vpn_leases.read' },
    response: LeaseView,
  })
  get(
    @ClusterId() clusterId: string,
    @PathId('connection') id: string,
    @PathId('lease') leaseId: string,
  ): Promise<LeaseView> {
    return this.leases.get(clusterId, id, leaseId);
  }

  @Get('lease/explain')
  @Route({
    id: 'explainVpnLease',
    summary: 'Say, rule by rule, why a node may or may not acquire a VPN connection',
    access: { permission: 'vpn_leases.read' },
    query: ExplainQuery,
    response: AcquireExplanation,
  })
  explain(
    @ClusterId() clusterId: string,
    @PathId('connection') id: string,
    @ValidQuery() { nodeId }: z.infer<typeof ExplainQuery>,
  ): Promise<AcquireExplanation> {
    return this.leases.explain(clusterId, id, nodeId.toLowerCase());
  }

  @Post('lease/acquire')
  @Route({
    id: 'acquireVpnLease',
    summary: 'Acquire the lease of a VPN connection for a node',
    access: { permission: 'vpn_leases.acquire' },
    guardedInPart: 'A node that has the lease gets it told all the same.',
    status: 201,
    body: AcquireLease,
    bodyExample: { nodeId: NODE },
    response: LeaseView,
    otherAnswers: [
      {
        status: 200,
        description: 'The node has the lease already: it is told as it is.',
        response: LeaseView,
      },
    ],
    problems: [
      'cluster_archived',
      'lease_held',
      'owner_not_eligible',
      'cluster_not_authoritative',
      'takeover_held',
    ],
  })
  async acquire(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('connection') connectionId: string,
    @Body() { nodeId }: z.infer<typeof AcquireLease>,
  ): Promise<WithStatus<LeaseView>> {
    const ask = { clusterId, connectionId, nodeId: nodeId.toLowerCase(), tokenSeen: null, isOwn: false };
    const { lease, now, reserved, isNew } = await this.acquires.acquire(actor, ask);
    const location = `/api/v1/clusters/${clusterId}/vpn-connections/${connectionId}/leases/${lease.id}`;
    return new WithStatus(
      isNew ? 201 : 200,
      leaseView(lease, now, reserved),
      isNew ? { Location: location } : {},
    );
  }

  @Post('lease/renew')
  @Route({
    id: 'renewVpnLease',
    summary: 'Renew the lease of a VPN connection for its holder',
    access: { permission: 'vpn_leases.renew' },
    body: HeldLease,
    bodyExample: HELD,
    response: LeaseView,
    problems: ['cluster_archived', 'lease_lost'],
  })
  async renew(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('connection') connectionId: string,
    @Body() { nodeId, fencingToken }: z.infer<typeof HeldLease>,
  ): Promise<LeaseView> {
    const ask = { clusterId, connectionId, nodeId: nodeId.toLowerCase(), fencingToken };
    const { lease, now, reserved } = await this.renewals.renewFor(actor, ask);
    return leaseView(lease, now, reserved);
  }

  @Post('lease/release')
  @Route({
    id: 'releaseVpnLease',
    summary: 'Release the lease of a VPN connection for its holder; again changes nothing',
    access: { permission: 'vpn_leases.release' },
    body: HeldLease,
    bodyExample: HELD,
    response: LeaseView,
    problems: ['cluster_archived', 'lease_lost'],
  })
  async release(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('connection') connectionId: string,
    @Body() { nodeId, fencingToken }: z.infer<typeof HeldLease>,
  ): Promise<LeaseView> {
    const ask = { clusterId, connectionId, nodeId: nodeId.toLowerCase(), fencingToken, isOwn: false };
    const { lease, now } = await this.releases.release(actor, ask);
    return leaseView(lease, now);
  }

  @Post('lease/fence')
  @Route({
    id: 'fenceVpnLease',
    summary: 'End the lease of a VPN connection, whoever holds it, and make its tokens worthless',
    description:
      'Skips a token even if no lease is active. With `fencingToken` it ends that lease and no other; the same call again is answered alike.',
    access: { permission: 'vpn_leases.fence' },
    body: FenceLease,
    bodyExample: { reason: 'The host does not answer.', holdSeconds: 60 },
    response: FencedConnection,
    problems: ['cluster_archived', 'lease_lost'],
  })
  fence(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('connection') id: string,
    @Body() body: z.infer<typeof FenceLease>,
  ): Promise<FencedConnection> {
    return this.fences.fence(actor, clusterId, id, body);
  }

  @Post('lease/handover')
  @Route({
    id: 'handOverVpnLease',
    summary: 'Ask the holder of a VPN connection to release it to one node',
    description:
      'The holder sees `releaseRequested` with its next renewal. While the reservation lasts, nobody else may follow it.',
    access: { permission: 'vpn_leases.handover' },
    guardedByAuthority: true,
    body: HandOverLease,
    bodyExample: { toNodeId: NODE },
    response: ReservedConnection,
    problems: ['cluster_archived', 'cluster_not_authoritative', 'owner_not_eligible'],
  })
  handOver(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('connection') id: string,
    @Body() body: z.infer<typeof HandOverLease>,
  ): Promise<ReservedConnection> {
    return this.handovers.handOver(actor, clusterId, id, body);
  }
}
