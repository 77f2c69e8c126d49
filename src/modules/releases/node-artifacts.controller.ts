import { Controller, Get, Param, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { CurrentNode } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import { DOWNLOAD } from './downloads.js';
import { FileAnswers } from './file-answers.js';
import { NodeArtifactsService } from './node-artifacts.service.js';

@ApiTags('Node agents')
@Controller('api/v1/node-agents/me/artifacts')
export class NodeArtifactsController {
  constructor(
    private readonly artifacts: NodeArtifactsService,
    private readonly answers: FileAnswers,
  ) {}

  @Get(':sha256')
  @Route({
    ...DOWNLOAD,
    id: 'downloadAssignedArtifact',
    summary: 'Download a file that an assignment of the node names',
    description:
      'An artifact or the bundle of a migration, by its digest, as the `path` in the snapshot has it. Only while its release is approved and not blocked.',
    access: 'node',
  })
  async download(
    @CurrentNode() node: NodePrincipal,
    @Param('sha256') sha256: string,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return this.answers.answer(await this.artifacts.find(node, sha256), request, reply);
  }
}
