import { Body, Controller, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, CurrentActor, PathId } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Actor } from '../../common/request/actor.js';
import { IdentityRevocationsService } from './identity-revocations.service.js';
import { NodeIdentityView } from './node-history.schema.js';
import { RevokeIdentity } from './nodes.schema.js';

@ApiTags('Nodes')
@Controller('api/v1/clusters/:cluster/nodes/:node/identities')
export class IdentityRevocationsController {
  constructor(private readonly revocations: IdentityRevocationsService) {}

  @Post(':identity/revoke')
  @Route({
    id: 'revokeNodeIdentity',
    summary: 'End one key of a node, for ever, with its tokens and certificates',
    description:
      'A key that was replaced can be revoked while the node goes on with its new one. Where it is the key by which the ' +
      'node is known now, the membership is disabled: the host comes back by enrolling with a new key, approved with ' +
      '`existingNodeId`, and works again when it is enabled.',
    access: { permission: 'nodes.revoke' },
    highRisk: true,
    body: RevokeIdentity,
    bodyExample: { reason: 'The key was in a backup that leaked.' },
    response: NodeIdentityView,
    etag: contentEtag,
    problems: ['cluster_archived', 'role_minimum_violated'],
  })
  revoke(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @PathId('identity') identityId: string,
    @Body() body: z.infer<typeof RevokeIdentity>,
  ): Promise<NodeIdentityView> {
    return this.revocations.revoke(actor, clusterId, nodeId, identityId, body);
  }
}
