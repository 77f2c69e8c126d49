import { Body, Controller, Get, Header, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { CurrentActor, CurrentNode } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Actor } from '../../common/request/actor.js';
import { CertificateIssuing } from './certificate-issuing.service.js';
import { IssuedCertificate, RenewalView, RequestCertificate } from './certificates.schema.js';
import { CertificatesService } from './certificates.service.js';

@ApiTags('Node agents')
@Controller('api/v1/node-agents/me/certificates')
export class CertificateRequestsController {
  constructor(
    private readonly issuing: CertificateIssuing,
    private readonly certificates: CertificatesService,
  ) {}

  @Post()
  @Header('Cache-Control', 'no-store')
  @Route({
    id: 'requestCertificate',
    summary: "Get a certificate of the cluster's authority over a fresh key",
    description:
      'Refused with 409 `cluster_not_authoritative` while the cluster is not authoritative; the renewal of an active ' +
      'member goes on while it is `degraded`.',
    access: 'node',
    guardedInPart: 'The renewal for an active member goes on while the cluster is degraded.',
    status: 201,
    body: RequestCertificate,
    response: IssuedCertificate,
    problems: [
      'csr_invalid',
      'proof_invalid',
      'membership_disabled',
      'cluster_not_authoritative',
      'cluster_archived',
    ],
  })
  request(
    @CurrentActor() actor: Actor,
    @CurrentNode() node: NodePrincipal,
    @Body() body: z.infer<typeof RequestCertificate>,
  ): Promise<IssuedCertificate> {
    return this.issuing.issue(actor, node, body);
  }

  @Get('renewal')
  @Route({
    id: 'getCertificateRenewal',
    summary: "When the node's certificate is to be renewed",
    access: 'node',
    response: RenewalView,
    etag: contentEtag,
  })
  renewal(@CurrentNode() node: NodePrincipal): Promise<RenewalView> {
    return this.certificates.renewal(node);
  }
}
