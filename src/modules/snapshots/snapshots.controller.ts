import { Controller, Get, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { CurrentNode, ValidQuery } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import { WithStatus } from '../../common/http/with-status.js';
import { Departure } from './departure.js';
import { pollHeaders, prefersHints } from './poll-headers.js';
import { SnapshotPolls } from './snapshot-polls.service.js';
import { SignedSnapshotView, SnapshotQuery } from './snapshots.schema.js';

@ApiTags('Snapshots')
@Controller('api/v1/node-agents/me')
export class SnapshotsController {
  constructor(private readonly polls: SnapshotPolls) {}

  @Get('snapshot')
  @Route({
    id: 'pollSnapshot',
    summary: 'Get the own snapshot, or wait until it changes',
    description:
      'Answers 304 to a matching `If-None-Match`; with `waitSeconds` only after that long, or when the service stops. ' +
      'Then `Retry-After` says when this node may come back, each node at another time. ' +
      'With `Prefer: lease-hints` it is answered early, too, when the lease of a VPN connection that allows the node has ' +
      'ended or is to be handed over: `Lease-Hints` names the connections, or is `*`. A hint can be lost; it only saves time.',
    access: 'node',
    query: SnapshotQuery,
    response: SignedSnapshotView,
    setsEtag: true,
  })
  async poll(
    @CurrentNode() node: NodePrincipal,
    @ValidQuery() { waitSeconds }: z.infer<typeof SnapshotQuery>,
    @Req() request: FastifyRequest,
  ): Promise<WithStatus<{ jws: string; generation: number } | undefined>> {
    const caller = Departure.of(request.raw.socket);
    try {
      const ifNoneMatch = request.headers['if-none-match'] ?? null;
      const wantsHints = prefersHints(request.headers.prefer);
      const answer = await this.polls.poll(node, { ifNoneMatch, waitSeconds, wantsHints, caller });
      const headers = pollHeaders(answer);
      if ('notModified' in answer) return new WithStatus(304, undefined, headers);
      const { jws, generation } = answer;
      return new WithStatus(200, { jws, generation }, headers);
    } finally {
      caller.forget();
    }
  }
}
