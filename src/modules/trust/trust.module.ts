import { Module } from '@nestjs/common';
import { AuthorityModule } from '../authority/authority.module.js';
import { ClustersModule } from '../clusters/clusters.module.js';
import { NodesModule } from '../nodes/nodes.module.js';
import { CertificateAuthorities } from './certificate-authorities.js';
import { CertificateFacet } from './certificate-facet.js';
import { CertificateIssuing } from './certificate-issuing.service.js';
import { CertificateRequestsController } from './certificate-requests.controller.js';
import { CERTIFICATE_SIGNER } from './certificate-signer.js';
import { CertificatesRepository } from './certificates.repository.js';
import { CertificatesService } from './certificates.service.js';
import { ClusterTrustController } from './cluster-trust.controller.js';
import { CrlsRepository } from './crls.repository.js';
import { CrlsService } from './crls.service.js';
import { RevocationsRepository } from './revocations.repository.js';
import { RevocationsService } from './revocations.service.js';
import { RotationsController } from './rotations.controller.js';
import { RotationsRepository } from './rotations.repository.js';
import { RotationsService } from './rotations.service.js';
import { RotationsSnapshotSource } from './rotations.snapshot-source.js';
import { SealedKeySigner } from './sealed-key-signer.js';
import { TrustService } from './trust.service.js';
import { TrustRetention } from './trust-retention.js';

@Module({
  imports: [AuthorityModule, ClustersModule, NodesModule],
  controllers: [ClusterTrustController, RotationsController, CertificateRequestsController],
  providers: [
    CertificateAuthorities,
    CertificateFacet,
    CertificateIssuing,
    CertificatesRepository,
    CertificatesService,
    CrlsRepository,
    CrlsService,
    RevocationsRepository,
    RevocationsService,
    RotationsRepository,
    RotationsService,
    RotationsSnapshotSource,
    TrustRetention,
    TrustService,
    // A KMS or a Vault transit backend takes its place here.
    { provide: CERTIFICATE_SIGNER, useClass: SealedKeySigner },
  ],
  exports: [CertificateIssuing, CertificatesService, RevocationsService, TrustService],
})
export class TrustModule {}
