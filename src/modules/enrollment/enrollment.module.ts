import { Module } from '@nestjs/common';
import { AuthorityModule } from '../authority/authority.module.js';
import { ClustersModule } from '../clusters/clusters.module.js';
import { NodesModule } from '../nodes/nodes.module.js';
import { RolesModule } from '../roles/roles.module.js';
import { TrustModule } from '../trust/trust.module.js';
import { AdmissionSnapshotSource } from './admission.snapshot-source.js';
import { EnrollmentController } from './enrollment.controller.js';
import { EnrollmentReadModel } from './enrollment.read-model.js';
import { EnrollmentService } from './enrollment.service.js';
import { EnrollmentCertificates } from './enrollment-certificates.js';
import { EnrollmentExpiry } from './enrollment-expiry.js';
import { EnrollmentStatusService } from './enrollment-status.service.js';
import { JoinApprovalsService } from './join-approvals.service.js';
import { JoinRequestReviews } from './join-request-reviews.js';
import { JoinRequestsController } from './join-requests.controller.js';
import { JoinRequestsRepository } from './join-requests.repository.js';
import { JoinRequestsService } from './join-requests.service.js';
import { JoinTokensController } from './join-tokens.controller.js';
import { JoinTokensRepository } from './join-tokens.repository.js';
import { JoinTokensService } from './join-tokens.service.js';
import { KnownHosts } from './known-hosts.service.js';
import { Readmissions } from './readmissions.service.js';

@Module({
  imports: [AuthorityModule, ClustersModule, NodesModule, RolesModule, TrustModule],
  controllers: [JoinTokensController, JoinRequestsController, EnrollmentController],
  providers: [
    EnrollmentCertificates,
    AdmissionSnapshotSource,
    EnrollmentExpiry,
    EnrollmentReadModel,
    EnrollmentService,
    EnrollmentStatusService,
    JoinApprovalsService,
    JoinRequestReviews,
    JoinRequestsRepository,
    JoinRequestsService,
    JoinTokensRepository,
    JoinTokensService,
    KnownHosts,
    Readmissions,
  ],
  exports: [EnrollmentReadModel],
})
export class EnrollmentModule {}
