import { createHash } from 'node:crypto';
import { Controller, Get, Header, Param } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { ClusterId, ValidQuery } from '../../common/auth/request-principal.js';
import { notFound } from '../../common/errors/domain-error.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import { CertificatePage, CertificateQuery, type CertificateView } from './certificates.schema.js';
import { CertificatesService } from './certificates.service.js';
import { CrlsService } from './crls.service.js';
import {
  RevocationPage,
  RevocationQuery,
  type RevocationSummary,
  RevocationView,
} from './revocations.schema.js';
import { RevocationsService } from './revocations.service.js';
import { CrlQuery, TrustView } from './trust.schema.js';
import { TrustService } from './trust.service.js';

const EPOCH = /^[1-9]\d{0,14}$/;

@ApiTags('Trust')
@Controller('api/v1/clusters/:cluster/trust')
export class ClusterTrustController {
  constructor(
    private readonly trust: TrustService,
    private readonly crls: CrlsService,
    private readonly certificates: CertificatesService,
    private readonly revocations: RevocationsService,
  ) {}

  @Get()
  @Route({
    id: 'getTrust',
    summary: "Read a cluster's authorities, snapshot keys and revocation epoch",
    access: { permission: 'trust.read' },
    response: TrustView,
    etag: contentEtag,
  })
  get(@ClusterId() clusterId: string): Promise<TrustView> {
    return this.trust.get(clusterId);
  }

  @Get('bundle')
  // Nodes are told of a new one in heartbeats; a minute is for everybody else.
  @Header('Cache-Control', 'public, max-age=60')
  @Route({
    id: 'getTrustBundle',
    summary: "The roots by which certificates of a cluster's nodes can be checked, as PEM",
    description: 'Every authority that is not retired, one that is only prepared included.',
    access: 'public',
    response: z.string(),
    responseType: 'application/x-pem-file',
    responseExample: '-----BEGIN CERTIFICATE-----\nMIIB...\n-----END CERTIFICATE-----\n',
    etag: bytesEtag,
    problems: ['not_found'],
  })
  async bundle(@ClusterId() clusterId: string): Promise<string> {
    return (await this.trust.bundle(clusterId)).pem;
  }

  @Get('crl')
  // Short: who was told of a new epoch by a heartbeat comes for the list at once.
  @Header('Cache-Control', 'public, max-age=10')
  @Route({
    id: 'getCertificateRevocationList',
    summary: "An authority's revocation list, in DER",
    description:
      "The list's number is the revocation epoch. While an authority is rotated each of the two has its own list; a " +
      'certificate names the address of the one that it stands in.',
    access: 'public',
    query: CrlQuery,
    response: z.string(),
    responseType: 'application/pkix-crl',
    responseDescription: 'RFC 5280, in DER.',
    responseExample: 'MIIB...',
    etag: bytesEtag,
    problems: ['not_found'],
  })
  crl(@ClusterId() clusterId: string, @ValidQuery() query: z.infer<typeof CrlQuery>): Promise<Buffer> {
    return this.crls.get(clusterId, query.authority);
  }

  @Get('certificates')
  @Route({
    id: 'listCertificates',
    summary: "List the certificates of a cluster's nodes, newest first",
    access: { permission: 'trust.read' },
    query: CertificateQuery,
    response: CertificatePage,
  })
  listCertificates(
    @ClusterId() clusterId: string,
    @ValidQuery() query: z.infer<typeof CertificateQuery>,
  ): Promise<Page<CertificateView>> {
    return this.certificates.list(clusterId, query);
  }

  @Get('revocations')
  @Route({
    id: 'listRevocations',
    summary: 'List what raised the revocation epoch, newest first',
    access: { permission: 'trust.read' },
    query: RevocationQuery,
    response: RevocationPage,
  })
  listRevocations(
    @ClusterId() clusterId: string,
    @ValidQuery() query: z.infer<typeof RevocationQuery>,
  ): Promise<Page<RevocationSummary>> {
    return this.revocations.list(clusterId, query);
  }

  @Get('revocations/:epoch')
  @Route({
    id: 'getRevocation',
    summary: 'Who has applied a revocation, who has not, and how long it took',
    access: { permission: 'trust.read' },
    response: RevocationView,
    etag: contentEtag,
  })
  async getRevocation(
    @ClusterId() clusterId: string,
    @Param('epoch') epoch: string,
  ): Promise<RevocationView> {
    if (!EPOCH.test(epoch)) throw notFound('not_found', 'There is no such epoch.');
    return this.revocations.get(clusterId, Number(epoch));
  }
}

/** The ETag of what is served as bytes: one by another instance is the same, since it serves the same bytes. */
function bytesEtag(bytes: string | Buffer): string {
  return `"${createHash('sha256').update(bytes).digest('base64url')}"`;
}
