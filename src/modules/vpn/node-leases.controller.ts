import { Body, Controller, Get, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { CurrentActor, CurrentNode, PathId } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import { WithStatus } from '../../common/http/with-status.js';
import type { Actor } from '../../common/request/actor.js';
import { LeaseAcquiresService } from './lease-acquires.service.js';
import { LeaseReleasesService } from './lease-releases.service.js';
import { LeaseRenewals } from './lease-renewals.service.js';
import { AcquireOwnLease, LeaseView, leaseView, OwnLease } from './leases.schema.js';
import { LeasesService } from './leases.service.js';

const HELD = { fencingToken: 4_294_967_297 };
/** A stored answer tells of the past: who acts on a lease needs to know what is so now. */
const LATE_RELEASE =
  'A release whose answer was lost may arrive late: acquire may tell the same lease meanwhile, which its node must not use any more, but give back again.';
const NO_KEY =
  'Safe to repeat without an `Idempotency-Key`, and better so: a stored answer tells how the lease was, and `serverTime` when.';

@ApiTags('Node agents')
@Controller('api/v1/node-agents/me/vpn-connections/:connection/lease')
export class NodeLeasesController {
  constructor(
    private readonly leases: LeasesService,
    private readonly acquires: LeaseAcquiresService,
    private readonly renewals: LeaseRenewals,
    private readonly releases: LeaseReleasesService,
  ) {}

  @Get()
  @Route({
    id: 'getOwnVpnLease',
    summary: 'Read the own active lease of a VPN connection',
    access: 'node',
    response: LeaseView,
    problems: ['not_found'],
  })
  active(
    @CurrentNode() { clusterId, nodeId }: NodePrincipal,
    @PathId('connection') id: string,
  ): Promise<LeaseView> {
    return this.leases.active(clusterId, id, nodeId);
  }

  @Post('acquire')
  @Route({
    id: 'acquireOwnVpnLease',
    summary: 'Acquire the lease of a VPN connection',
    description: NO_KEY,
    access: 'node',
    guardedInPart: 'A node that has the lease gets it told all the same.',
    status: 201,
    body: AcquireOwnLease,
    bodyOptional: true,
    bodyExample: {},
    response: LeaseView,
    otherAnswers: [
      {
        status: 200,
        description: 'The node has the lease already: it is told as it is.',
        response: LeaseView,
      },
    ],
    problems: ['not_found', 'lease_held', 'owner_not_eligible', 'cluster_not_authoritative', 'takeover_held'],
  })
  async acquire(
    @CurrentActor() actor: Actor,
    @CurrentNode() node: NodePrincipal,
    @PathId('connection') connectionId: string,
    @Body() { tokenSeen = null }: { tokenSeen?: number | null },
  ): Promise<WithStatus<LeaseView>> {
    const ask = { ...node, connectionId, tokenSeen, isOwn: true };
    const { lease, now, reserved, isNew } = await this.acquires.acquire(actor, ask);
    const location = `/api/v1/node-agents/me/vpn-connections/${connectionId}/lease`;
    return new WithStatus(
      isNew ? 201 : 200,
      leaseView(lease, now, reserved),
      isNew ? { Location: location } : {},
    );
  }

  @Post('renew')
  @Route({
    id: 'renewOwnVpnLease',
    summary: 'Renew the own lease of a VPN connection',
    description: `The token stays. Too late is too late, even if nobody has followed. ${NO_KEY}`,
    access: 'node',
    mutates: false,
    body: OwnLease,
    bodyExample: HELD,
    response: LeaseView,
    problems: ['not_found', 'lease_lost'],
  })
  async renew(
    @CurrentNode() node: NodePrincipal,
    @PathId('connection') connectionId: string,
    @Body() { fencingToken }: z.infer<typeof OwnLease>,
  ): Promise<LeaseView> {
    const { lease, now, reserved } = await this.renewals.renewOwn({ ...node, connectionId, fencingToken });
    return leaseView(lease, now, reserved);
  }

  @Post('release')
  @Route({
    id: 'releaseOwnVpnLease',
    summary: 'Release the own lease of a VPN connection; again changes nothing',
    description: `${LATE_RELEASE} ${NO_KEY}`,
    access: 'node',
    body: OwnLease,
    bodyExample: HELD,
    response: LeaseView,
    problems: ['not_found', 'lease_lost'],
  })
  async release(
    @CurrentActor() actor: Actor,
    @CurrentNode() node: NodePrincipal,
    @PathId('connection') connectionId: string,
    @Body() { fencingToken }: z.infer<typeof OwnLease>,
  ): Promise<LeaseView> {
    const { lease, now } = await this.releases.release(actor, {
      ...node,
      connectionId,
      fencingToken,
      isOwn: true,
    });
    return leaseView(lease, now);
  }
}
