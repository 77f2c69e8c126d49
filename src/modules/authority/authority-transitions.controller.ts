import { Body, Controller, Get, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, CurrentActor, ValidQuery } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Actor } from '../../common/request/actor.js';
import { AuthorityView } from './authority.schema.js';
import { AuthorityExplanation, AuthorityTransition, ExplainQuery } from './authority-transitions.schema.js';
import { AuthorityTransitionsService } from './authority-transitions.service.js';

@ApiTags('Authority')
@Controller('api/v1/clusters/:cluster/authority')
export class AuthorityTransitionsController {
  constructor(private readonly transitions: AuthorityTransitionsService) {}

  @Post('transitions')
  @Route({
    id: 'transitionAuthority',
    summary: "Move a cluster's authority to another state",
    description:
      'A move to `authoritative` raises the term. Asking for the state that holds already changes nothing, save for `authoritative`, which is refused.',
    access: { permission: 'authority.transition' },
    highRisk: true,
    body: AuthorityTransition,
    bodyExample: { to: 'partitioned', reason: 'Site msk is cut off.', expectedTerm: 1 },
    response: AuthorityView,
    etag: contentEtag,
    problems: ['cluster_archived', 'authority_term_conflict', 'authority_transition_invalid'],
  })
  move(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @Body() body: z.infer<typeof AuthorityTransition>,
  ): Promise<AuthorityView> {
    return this.transitions.move(actor, clusterId, body);
  }

  @Get('explain')
  @Route({
    id: 'explainAuthority',
    summary: 'Say what the authority would refuse now, and why',
    access: { permission: 'authority.read' },
    query: ExplainQuery,
    response: AuthorityExplanation,
  })
  explain(
    @ClusterId() clusterId: string,
    @ValidQuery() { operation }: z.infer<typeof ExplainQuery>,
  ): Promise<AuthorityExplanation> {
    return this.transitions.explain(clusterId, operation);
  }
}
