import { Body, Controller, Get, Param, Put } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, CurrentActor, ValidQuery } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { ChannelPage, ChannelQuery, ChannelView, PutChannel } from './channels.schema.js';
import { ChannelsService } from './channels.service.js';

@ApiTags('Releases')
@Controller('api/v1/clusters/:cluster/channels')
export class ChannelsController {
  constructor(private readonly channels: ChannelsService) {}

  @Get()
  @Route({
    id: 'listChannels',
    summary: 'List where the channels of a cluster point, by product and channel',
    access: { permission: 'channels.read' },
    query: ChannelQuery,
    response: ChannelPage,
  })
  list(
    @ClusterId() clusterId: string,
    @ValidQuery() query: z.infer<typeof ChannelQuery>,
  ): Promise<Page<ChannelView>> {
    return this.channels.list(clusterId, query);
  }

  @Get(':product/:channel')
  @Route({
    id: 'getChannel',
    summary: 'Read where a channel points',
    access: { permission: 'channels.read' },
    response: ChannelView,
    etag: contentEtag,
  })
  get(
    @ClusterId() clusterId: string,
    @Param('product') product: string,
    @Param('channel') channel: string,
  ): Promise<ChannelView> {
    return this.channels.read(clusterId, product, channel);
  }

  @Put(':product/:channel')
  @Route({
    id: 'moveChannel',
    summary: 'Point a channel to a version',
    description:
      'With `If-Match` a compare-and-set: each move raises the revision, which the `ETag` covers. `stable` takes a version that it has never named only when a rollout of it stands succeeded in the cluster and has soaked, as `stablePromotion` of the policy says; the first version that it names is free.',
    access: { permission: 'channels.update' },
    body: PutChannel,
    response: ChannelView,
    etag: contentEtag,
    problems: ['cluster_archived', 'release_not_approved', 'release_blocked', 'promotion_not_proven'],
  })
  move(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @Param('product') product: string,
    @Param('channel') channel: string,
    @Body() { version }: z.infer<typeof PutChannel>,
  ): Promise<ChannelView> {
    return this.channels.move(actor, clusterId, product, channel, version);
  }
}
