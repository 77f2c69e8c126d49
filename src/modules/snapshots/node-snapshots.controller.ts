import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, PathId, ValidQuery } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import { KeptGenerationsService } from './kept-generations.service.js';
import { SnapshotExplainer } from './snapshot-explainer.js';
import { SnapshotIssuer } from './snapshot-issuer.js';
import type { SnapshotPayload } from './snapshot-renderer.js';
import {
  KeptGenerationPage,
  KeptGenerationsQuery,
  type KeptGenerationView,
  NodeSnapshotQuery,
  SnapshotExplanation,
  SnapshotPayloadView,
} from './snapshots.schema.js';

@ApiTags('Snapshots')
@Controller('api/v1/clusters/:cluster/nodes/:node')
export class NodeSnapshotsController {
  constructor(
    private readonly issuer: SnapshotIssuer,
    private readonly kept: KeptGenerationsService,
    private readonly explainer: SnapshotExplainer,
  ) {}

  @Get('snapshot')
  @Route({
    id: 'getNodeSnapshot',
    summary: "Read a node's snapshot, decoded: the current one, or one that it was given before",
    description:
      'Without parameters what the node would get now. Generations are kept from their first serving on; one that the ' +
      'node never got is not kept. A 404 `generation_not_kept` names the `nearest` that is, `{ generation, servedAt }`.',
    access: { permission: 'snapshots.read' },
    query: NodeSnapshotQuery,
    response: SnapshotPayloadView,
    etag: contentEtag,
    problems: ['generation_not_kept'],
  })
  read(
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @ValidQuery() query: z.infer<typeof NodeSnapshotQuery>,
  ): Promise<SnapshotPayload> {
    const isCurrent = query.generation === undefined && query.at === undefined;
    return isCurrent ? this.issuer.read(clusterId, nodeId) : this.kept.get(clusterId, nodeId, query);
  }

  @Get('snapshot/explain')
  @Route({
    id: 'explainNodeSnapshot',
    summary: "Say of each item in a node's present snapshot which event made it what it is, whose and when",
    description:
      'An item that a role brings is there since that role is; where several do, since the first of them. Empty lists ' +
      'and policies are no items.',
    access: { permission: 'snapshots.read' },
    response: SnapshotExplanation,
  })
  explain(@ClusterId() clusterId: string, @PathId('node') nodeId: string): Promise<SnapshotExplanation> {
    return this.explainer.explain(clusterId, nodeId);
  }

  @Get('snapshots')
  @Route({
    id: 'listNodeSnapshots',
    summary: 'List the generations that a node was given, newest first, with their differences',
    access: { permission: 'snapshots.read' },
    query: KeptGenerationsQuery,
    response: KeptGenerationPage,
  })
  list(
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @ValidQuery() query: z.infer<typeof KeptGenerationsQuery>,
  ): Promise<Page<KeptGenerationView>> {
    return this.kept.list(clusterId, nodeId, query);
  }
}
