import { Body, Controller, Get, Param, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { CurrentActor, ValidQuery } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import { SentBytes } from '../../common/http/sent-body.js';
import { WithStatus } from '../../common/http/with-status.js';
import type { Actor } from '../../common/request/actor.js';
import { Envelope } from './envelope.js';
import { ReleaseDecisionsService } from './release-decisions.service.js';
import { ReleasePublishingService } from './release-publishing.service.js';
import {
  BlockRelease,
  ReleasePage,
  ReleaseQuery,
  type ReleaseSummary,
  ReleaseView,
} from './releases.schema.js';
import { ReleasesService } from './releases.service.js';

@ApiTags('Releases')
@Controller('api/v1/products/:product/releases')
export class ReleasesController {
  constructor(
    private readonly releases: ReleasesService,
    private readonly publishing: ReleasePublishingService,
    private readonly decisions: ReleaseDecisionsService,
  ) {}

  @Post()
  @Route({
    id: 'publishRelease',
    summary: 'Publish a signed release',
    description:
      'Signatures are held against the payload byte for byte, and what came is kept as it came. Faults of the manifest have pointers into it, and the code `manifest_invalid`.',
    access: { permission: 'releases.publish' },
    status: 201,
    body: Envelope,
    keepsBytes: true,
    response: ReleaseView,
    etag: contentEtag,
    problems: ['version_exists', 'signature_invalid', 'signature_threshold_not_met', 'manifest_invalid'],
  })
  async publish(
    @CurrentActor() actor: Actor,
    @Param('product') product: string,
    @Body() envelope: Envelope,
    @SentBytes() bytes: Buffer,
  ): Promise<WithStatus<ReleaseView>> {
    const release = await this.publishing.publish(actor, product, envelope, bytes);
    const path = `/api/v1/products/${product}/releases/${encodeURIComponent(release.version)}`;
    return new WithStatus(201, release, { Location: path });
  }

  @Get()
  @Route({
    id: 'listReleases',
    summary: 'List the releases of a product, newest first',
    access: { permission: 'releases.read' },
    query: ReleaseQuery,
    response: ReleasePage,
  })
  list(
    @Param('product') product: string,
    @ValidQuery() query: z.infer<typeof ReleaseQuery>,
  ): Promise<Page<ReleaseSummary>> {
    return this.releases.list(product, query);
  }

  @Get(':version')
  @Route({
    id: 'getRelease',
    summary: 'Read a release',
    access: { permission: 'releases.read' },
    response: ReleaseView,
    etag: contentEtag,
  })
  get(@Param('product') product: string, @Param('version') version: string): Promise<ReleaseView> {
    return this.releases.read(product, version);
  }

  @Get(':version/envelope')
  @Route({
    id: 'getReleaseEnvelope',
    summary: 'Read the envelope of a release, byte for byte as it was published',
    access: { permission: 'releases.read' },
    response: z.string(),
    responseType: 'application/vnd.dsse.envelope.v1+json',
    responseExample:
      '{"payloadType":"application/vnd.rap.release-manifest.v1+json","payload":"eyJ9","signatures":[]}',
  })
  envelope(@Param('product') product: string, @Param('version') version: string): Promise<Buffer> {
    return this.releases.envelope(product, version);
  }

  @Post(':version/approve')
  @Route({
    id: 'approveRelease',
    summary: 'Approve a release, so that it may leave the service',
    access: { permission: 'releases.approve' },
    highRisk: true,
    response: ReleaseView,
    etag: contentEtag,
    problems: ['release_blocked', 'publisher_may_not_approve', 'signature_threshold_not_met'],
  })
  approve(
    @CurrentActor() actor: Actor,
    @Param('product') product: string,
    @Param('version') version: string,
  ): Promise<ReleaseView> {
    return this.decisions.approve(actor, product, version);
  }

  @Post(':version/block')
  @Route({
    id: 'blockRelease',
    summary: 'Block a release everywhere, at once',
    description: 'It leaves the service no more, channels go back from it, and what goes on with it stops.',
    access: { permission: 'releases.block' },
    highRisk: true,
    body: BlockRelease,
    response: ReleaseView,
    etag: contentEtag,
  })
  block(
    @CurrentActor() actor: Actor,
    @Param('product') product: string,
    @Param('version') version: string,
    @Body() { reason }: z.infer<typeof BlockRelease>,
  ): Promise<ReleaseView> {
    return this.decisions.block(actor, product, version, reason);
  }

  @Post(':version/unblock')
  @Route({
    id: 'unblockRelease',
    summary: 'Take the block of a release back',
    description: 'Channels and rollouts stay where they are.',
    access: { permission: 'releases.block' },
    highRisk: true,
    response: ReleaseView,
    etag: contentEtag,
  })
  unblock(
    @CurrentActor() actor: Actor,
    @Param('product') product: string,
    @Param('version') version: string,
  ): Promise<ReleaseView> {
    return this.decisions.unblock(actor, product, version);
  }
}
