import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { z } from 'zod';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { notFound } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { TxEvents } from '../../common/transaction/tx-events.js';
import { IdentityRevoked, MembershipEnded, type RevokedIdentity } from '../nodes/membership-events.js';
import { NodeIdentities } from '../nodes/node-identities.js';
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

/** Shows the certificates of nodes, and ends them with the membership or with the key that asked for them. */
@Injectable()
export class CertificatesService implements OnModuleInit {
  constructor(
    private readonly transactor: Transactor,
    private readonly certificates: CertificatesRepository,
    private readonly revocations: RevocationsRepository,
    private readonly authorities: CertificateAuthorities,
    private readonly identities: NodeIdentities,
    private readonly paging: Paging,
    private readonly events: TxEvents,
  ) {}

  onModuleInit(): void {
    this.events.on(MembershipEnded, (tx, { clusterId, nodeId }) => this.revoke(tx, clusterId, nodeId, null));
    this.events.on(IdentityRevoked, (tx, { clusterId, nodeId, revoked }) =>
      this.revoke(tx, clusterId, nodeId, revoked),
    );
  }

  /** When the node is to renew the certificate that it was given last. @throws not_found when it never had one */
  renewal({ clusterId, nodeId }: NodePrincipal): Promise<RenewalView> {
    return this.transactor.read(async (tx) => {
      const certificate = await this.certificates.latest(tx, clusterId, nodeId);
      if (certificate === null) throw notFound('not_found', 'The node has no certificate.');
      const authorities = await this.authorities.list(tx, clusterId);
      const issuer = authorities.find(({ kid }) => kid === certificate.authorityKid);
      const reason = renewalReason(certificate, issuer?.phase);
      const { start, end } = renewalWindow(certificate);
      // What cannot wait has a window that was over from the start.
      const at = certificate.issuedAt;
      const window = reason === 'scheduled' ? { start, end } : { start: at, end: at };
      return {
        serial: certificate.serial,
        status: certificateStatus(certificate, tx.now),
        notAfter: certificate.notAfter.toISOString(),
        suggestedWindow: { start: window.start.toISOString(), end: window.end.toISOString() },
        reason,
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

  /** Ends certificates of a node in the transaction that ended what they rest on, and records what raised the epoch.
   *  @param identity the keys that asked for them; null: all */
  private async revoke(
    tx: Tx,
    clusterId: string,
    nodeId: string,
    identity: RevokedIdentity | null,
  ): Promise<void> {
    const reason = identity === null ? 'membership_revoked' : 'identity_revoked';
    const identityIds = identity?.identityIds ?? null;
    const serials = await this.certificates.revoke(tx, clusterId, nodeId, identityIds, reason);
    await this.identities.noteRevoked(tx, clusterId, nodeId, serials);
    const epoch = await this.revocations.record(tx, clusterId, nodeId, identity);
    if (serials.length === 0) return;
    tx.audit(certificatesRevoked(clusterId, nodeId, serials, epoch));
  }
}

/** Why the certificate is to be renewed when it is. @param phase of its authority */
function renewalReason({ revokedAt }: NodeCertificate, phase: string | undefined): RenewalView['reason'] {
  if (revokedAt !== null) return 'revoked';
  return phase === 'tainted' || phase === 'retired' ? 'authority_tainted' : 'scheduled';
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
