import { X509Certificate } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Database } from '../../common/database/database.js';
import { DomainError } from '../../common/errors/domain-error.js';
import type { Actor } from '../../common/request/actor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { NodeIdentities } from '../nodes/node-identities.js';
import { CertificateIssuing } from '../trust/certificate-issuing.service.js';
import type { Source } from './enrollment.service.js';
import type { JoinRequest } from './join-request.js';
import { JoinRequestsRepository } from './join-requests.repository.js';

/** There is a certificate already, or the key of the request is not the node's any more. Undoes the issuing. */
class NotToBeIssued extends Error {}

/** The certificates over the CSRs that hosts send with their join requests; see docs/adr/0012. */
@Injectable()
export class EnrollmentCertificates {
  constructor(
    private readonly database: Database,
    private readonly requests: JoinRequestsRepository,
    private readonly identities: NodeIdentities,
    private readonly issuing: CertificateIssuing,
  ) {}

  /**
   * The certificate of an approved request, in PEM: issued when it is first asked for, the same ever after. null where
   * the host sent no CSR, where none may be issued now, or where it has expired: the node then gets one like any other.
   */
  async get(source: Source, request: JoinRequest, now: Date): Promise<string | null> {
    const pem = request.certificate ?? (await this.issue(source, request));
    return pem !== null && new Date(new X509Certificate(pem).validTo) > now ? pem : null;
  }

  private async issue(source: Source, request: JoinRequest): Promise<string | null> {
    const { id, clusterId, approvedNodeId: nodeId, csr } = request;
    if (csr === null || nodeId === null) return null;
    const identity = await this.identities.active(this.database, clusterId, nodeId);
    if (identity === null) return null;
    const actor: Actor = { type: 'node', id: nodeId, displayName: nodeId, ...source };
    const keep = (tx: Tx, pem: string) => this.keep(tx, request, nodeId, pem);
    try {
      return (await this.issuing.issue(actor, { clusterId, nodeId, identityId: identity.id }, { csr }, keep))
        .certificate;
    } catch (error) {
      if (!(error instanceof NotToBeIssued) && !(error instanceof DomainError)) throw error;
    }
    // Another call may have been faster.
    const known = await this.requests.findById((statement) => this.database.query(statement), id);
    return known?.certificate ?? null;
  }

  private async keep(tx: Tx, request: JoinRequest, nodeId: string, pem: string): Promise<void> {
    const identity = await this.identities.active(tx, request.clusterId, nodeId);
    if (
      identity?.key.thumbprint !== request.nodeFingerprint ||
      !(await this.requests.keepCertificate(tx, request.id, pem))
    )
      throw new NotToBeIssued();
  }
}
