import type { Readable } from 'node:stream';
import { Controller, Get, Headers, Param, Put, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { CurrentActor } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import { ByteStream } from '../../common/http/sent-body.js';
import { WithStatus } from '../../common/http/with-status.js';
import type { Actor } from '../../common/request/actor.js';
import { ArtifactsService, type StoredFile } from './artifacts.service.js';
import { DOWNLOAD } from './downloads.js';
import { FileAnswers, fileEtag } from './file-answers.js';
import { ArtifactView, BundleView } from './releases.schema.js';
import { drain } from './unread-bytes.js';

const UPLOAD = {
  access: { permission: 'releases.publish' },
  takesBytes: true,
  etag: fileEtag,
  problems: ['malformed_request', 'digest_mismatch', 'unavailable'],
} as const;

@ApiTags('Releases')
@Controller('api/v1/products/:product/releases/:version')
export class ArtifactsController {
  constructor(
    private readonly artifacts: ArtifactsService,
    private readonly answers: FileAnswers,
  ) {}

  @Put('artifacts/:os/:arch')
  @Route({
    ...UPLOAD,
    id: 'uploadArtifact',
    summary: 'Upload an artifact of a release',
    description:
      'The bytes, whatever their Content-Type; held against the digest and size of the manifest while they arrive. All of them are kept, or none.',
    response: ArtifactView,
    otherAnswers: [{ status: 201, description: 'They are there now.', response: ArtifactView }],
  })
  async putArtifact(
    @CurrentActor() actor: Actor,
    @Param('product') product: string,
    @Param('version') version: string,
    @Param('os') os: string,
    @Param('arch') arch: string,
    @ByteStream() bytes: Readable,
    @Headers('content-length') length: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<WithStatus<ArtifactView>> {
    const part = { os, arch };
    const { file, isNew } = await this.receive(reply, bytes, () =>
      this.artifacts.put(actor, [product, version], part, bytes, lengthOf(length)),
    );
    const { sha256, size, mediaType, fileName, storedAt } = file;
    const view = { ...part, sha256, size, mediaType, fileName, storedAt: storedAt?.toISOString() ?? null };
    return new WithStatus(isNew ? 201 : 200, view as ArtifactView);
  }

  @Get('artifacts/:os/:arch')
  @Route({
    ...DOWNLOAD,
    id: 'downloadArtifact',
    summary: 'Download an artifact of an approved release',
    access: { permission: 'releases.read' },
    problems: [...DOWNLOAD.problems, 'release_not_approved', 'release_blocked', 'artifact_not_stored'],
  })
  async getArtifact(
    @Param('product') product: string,
    @Param('version') version: string,
    @Param('os') os: string,
    @Param('arch') arch: string,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return this.answers.answer(await this.artifacts.find(product, version, { os, arch }), request, reply);
  }

  @Put('migrations/:migration/bundle')
  @Route({
    ...UPLOAD,
    id: 'uploadMigrationBundle',
    summary: 'Upload the bundle of a migration of a release',
    response: BundleView,
    otherAnswers: [{ status: 201, description: 'The bytes are there now.', response: BundleView }],
  })
  async putBundle(
    @CurrentActor() actor: Actor,
    @Param('product') product: string,
    @Param('version') version: string,
    @Param('migration') migration: string,
    @ByteStream() bytes: Readable,
    @Headers('content-length') length: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<WithStatus<BundleView>> {
    const { file, isNew } = await this.receive(reply, bytes, () =>
      this.artifacts.put(actor, [product, version], { migration }, bytes, lengthOf(length)),
    );
    const { sha256, size, storedAt } = file;
    const view = { migration, sha256, size, storedAt: storedAt?.toISOString() ?? null };
    return new WithStatus(isNew ? 201 : 200, view);
  }

  @Get('migrations/:migration/bundle')
  @Route({
    ...DOWNLOAD,
    id: 'downloadMigrationBundle',
    summary: 'Download the bundle of a migration of an approved release',
    access: { permission: 'releases.read' },
    problems: [...DOWNLOAD.problems, 'release_not_approved', 'release_blocked', 'artifact_not_stored'],
  })
  async getBundle(
    @Param('product') product: string,
    @Param('version') version: string,
    @Param('migration') migration: string,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return this.answers.answer(await this.artifacts.find(product, version, { migration }), request, reply);
  }

  /** A refusal is heard only by who has been let finish; who sends without an end is cut off instead. */
  private async receive(
    reply: FastifyReply,
    bytes: Readable,
    work: () => Promise<StoredFile>,
  ): Promise<StoredFile> {
    try {
      return await work();
    } catch (error) {
      if (!(await drain(bytes))) void reply.header('Connection', 'close');
      throw error;
    }
  }
}

/** What Node lets through as `Content-Length` is a number. */
function lengthOf(header: string | undefined): number | null {
  return header === undefined ? null : Number(header);
}
