import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { z } from 'zod';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { notFound } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { TxEvents } from '../../common/transaction/tx-events.js';
import { MembershipEnded } from '../nodes/membership-events.js';
import {
  certificateStatus,
  certificatesRevoked,
  type NodeCertificate,
  renewalWindow,
} from './certificate.js';
import { CertificateAuthorities } from './certificate-authorities.js';
import { CertificatesRepository } from './certificates.repository.js';
import type { CertificateQuery, CertificateView, RenewalView } from './certificates.schema.js';
import { RevocationsRepository } from './revocations.repository.js';

const MEMBERSHIP_REVOKED = 'membership_revoked';

/** Shows the certificates of nodes, and ends them with the membership. */
@Injectable()
export class CertificatesService implements OnModuleInit {
  constructor(
    private readonly transactor: Transactor,
    private readonly certificates: CertificatesRepository,
    private readonly revocations: RevocationsRepository,
    private readonly authorities: CertificateAuthorities,
    private readonly paging: Paging,
    private readonly events: TxEvents,
  ) {}

  onModuleInit(): void {
    this.events.on(MembershipEnded, (tx, { clusterId, nodeId }) => this.revokeAll(tx, clusterId, nodeId));
  }

  /** When the node is to renew the certificate that it was given last. @throws not_found when it never had one */
  renewal({ clusterId, nodeId }: NodePrincipal): Promise<RenewalView> {
    return this.transactor.read(async (tx) => {
      const certificate = await this.certificates.latest(tx, clusterId, nodeId);
      if (certificate === null) throw notFound('not_found', 'The node has no certificate.');
      const authorities = await this.authorities.list(tx, clusterId);
      const issuer = authorities.find(({ kid }) => kid === certificate.authorityKid);
      const { start, end } = renewalWindow(certificate);
      const isTainted = issuer?.phase === 'tainted' || issuer?.phase === 'retired';
      const window = isTainted ? { start: certificate.issuedAt, end: certificate.issuedAt } : { start, end };
      return {
        serial: certificate.serial,
        status: certificateStatus(certificate, tx.now),
        notAfter: certificate.notAfter.toISOString(),
        suggestedWindow: { start: window.start.toISOString(), end: window.end.toISOString() },
        reason: isTainted ? 'authority_tainted' : 'scheduled',
      };
    });
  }

  /** The certificates of a cluster, newest first. */
  list(clusterId: string, query: z.infer<typeof CertificateQuery>): Promise<Page<CertificateView>> {
    const { limit, cursor, ...filter } = query;
    const list = { kind: 'certificates', filters: { clusterId, ...filter }, limit, cursor };
    return this.transactor.read(async (tx) => {
      const rows = await this.certificates.list(tx, clusterId, filter, this.paging.after(list), limit);
      return this.paging.page(
        list,
        rows,
        (row) => [row.issuedAt.toISOString(), row.serial],
        (row) => certificateView(row, tx.now),
      );
    });
  }

  /** Ends a node's certificates in the transaction that ended its membership, and records what raised the epoch. */
  private async revokeAll(tx: Tx, clusterId: string, nodeId: string): Promise<void> {
    const serials = await this.certificates.revokeAll(tx, clusterId, nodeId, MEMBERSHIP_REVOKED);
    const epoch = await this.revocations.record(tx, clusterId, nodeId);
    if (serials.length === 0) return;
    tx.audit(certificatesRevoked(clusterId, nodeId, serials, epoch));
  }
}

function certificateView(certificate: NodeCertificate, now: Date): CertificateView {
  const { notBefore, notAfter, issuedAt, revokedAt, ...rest } = certificate;
  return {
    ...rest,
    status: certificateStatus(certificate, now),
    issuedAt: issuedAt.toISOString(),
    notBefore: notBefore.toISOString(),
    notAfter: notAfter.toISOString(),
    revokedAt: revokedAt?.toISOString() ?? null,
  };
}
