import { Body, Controller, Put } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { CurrentActor, CurrentNode } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Actor } from '../../common/request/actor.js';
import { ReportUpdateCache, UpdateCacheView } from './update-caches.schema.js';
import { UpdateCachesService } from './update-caches.service.js';

@ApiTags('Node agents')
@Controller('api/v1/node-agents/me/update-cache')
export class NodeUpdateCacheController {
  constructor(private readonly caches: UpdateCachesService) {}

  @Put()
  @Route({
    id: 'reportUpdateCache',
    summary: 'Say where this node serves files of releases to others, and what it holds',
    description:
      'Nodes that have an update are told of caches near them. A cache answers `GET {url}/artifacts/{sha256}` to members of its cluster, by TLS with the certificates of both nodes. The digest in the snapshot decides whether what it sent is good.',
    access: 'node',
    mutates: false,
    body: ReportUpdateCache,
    bodyExample: { url: 'https://192.0.2.7:7443', held: [], usedBytes: 0, capacityBytes: 10_737_418_240 },
    response: UpdateCacheView,
    problems: ['role_required'],
  })
  report(
    @CurrentActor() actor: Actor,
    @CurrentNode() node: NodePrincipal,
    @Body() body: ReportUpdateCache,
  ): Promise<UpdateCacheView> {
    return this.caches.report(actor, node, body);
  }
}
