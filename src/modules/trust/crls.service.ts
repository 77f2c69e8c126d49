import { Injectable } from '@nestjs/common';
import { notFound } from '../../common/errors/domain-error.js';
import { systemActor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { SharedReads } from '../../common/waiting/shared-reads.js';
import { CertificateAuthorities } from './certificate-authorities.js';
import { CertificatesRepository } from './certificates.repository.js';
import { crlIssue } from './crl.js';
import { CrlsRepository } from './crls.repository.js';
import { makeCrl } from './x509.js';

/**
 * The revocation lists of clusters, one for each authority that is not retired. Rendered from the database when the
 * epoch has risen or the hour has passed, and kept there, so that every instance serves the same bytes.
 */
@Injectable()
export class CrlsService {
  private readonly reads = new SharedReads<Buffer>();

  constructor(
    private readonly transactor: Transactor,
    private readonly crls: CrlsRepository,
    private readonly certificates: CertificatesRepository,
    private readonly authorities: CertificateAuthorities,
  ) {}

  /**
   * The list of the active authority, or of the one named. After a revocation all nodes of a cluster come for it at once.
   * @throws not_found when it is unknown or retired
   */
  get(clusterId: string, authorityKid: string | undefined): Promise<Buffer> {
    return this.reads.get(`${clusterId}/${authorityKid ?? ''}`, () => this.load(clusterId, authorityKid));
  }

  private async load(clusterId: string, authorityKid: string | undefined): Promise<Buffer> {
    const due = await this.transactor.read(async (tx) => {
      const authorities = await this.authorities.list(tx, clusterId);
      const authority = authorities.find(({ kid, phase }) =>
        authorityKid === undefined ? phase === 'active' : kid === authorityKid && phase !== 'retired',
      );
      const epoch = await this.crls.epoch(tx, clusterId);
      if (authority === undefined || epoch === null)
        throw notFound('not_found', 'The cluster has no such certificate authority.');
      const issue = crlIssue(tx.now);
      const kept = await this.crls.find(tx, clusterId, authority.kid);
      if (kept !== null && kept.epoch === epoch && kept.issue === issue.number) return kept;
      // Epoch and entries are of one instant: the list of an epoch names everything that raised it.
      const revoked = await this.certificates.revoked(tx, clusterId, authority.kid, tx.now);
      return { authority, epoch, issue, revoked };
    });
    if ('der' in due) return due.der;
    const { authority, epoch, issue, revoked } = due;
    const der = await makeCrl(
      { ...issue, issuer: authority.certificate, number: epoch, revoked },
      this.authorities.signing(clusterId, authority),
    );
    const kept = await this.transactor.observe(systemActor('revocation-lists'), async (tx) => ({
      result: await this.crls.keep(tx, clusterId, authority.kid, { epoch, issue: issue.number, der }),
    }));
    return kept.der;
  }
}
