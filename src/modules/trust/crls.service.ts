import { Injectable } from '@nestjs/common';
import { notFound } from '../../common/errors/domain-error.js';
import { systemActor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { CertificateAuthorities } from './certificate-authorities.js';
import { CertificatesRepository } from './certificates.repository.js';
import { crlIssue } from './crl.js';
import { CrlsRepository, type StoredCrl } from './crls.repository.js';
import { makeCrl } from './x509.js';

/**
 * The revocation lists of clusters, one for each authority that is not retired. Rendered from the database when the
 * epoch has risen or the hour has passed, and kept there, so that every instance serves the same bytes.
 */
@Injectable()
export class CrlsService {
  /** Lists that are being made by this process, so that a crowd makes each once. */
  private readonly making = new Map<string, Promise<StoredCrl>>();

  constructor(
    private readonly transactor: Transactor,
    private readonly crls: CrlsRepository,
    private readonly certificates: CertificatesRepository,
    private readonly authorities: CertificateAuthorities,
  ) {}

  /** The list of the active authority, or of the one named. @throws not_found when it is unknown or retired */
  async get(clusterId: string, authorityKid: string | undefined): Promise<Buffer> {
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
    return this.once(`${clusterId}/${authority.kid}/${epoch}/${issue.number}`, async () => {
      const der = await makeCrl(
        { ...issue, issuer: authority.certificate, number: epoch, revoked },
        this.authorities.signing(clusterId, authority),
      );
      return this.transactor.observe(systemActor('revocation-lists'), async (tx) => ({
        result: await this.crls.keep(tx, clusterId, authority.kid, { epoch, issue: issue.number, der }),
      }));
    });
  }

  private async once(key: string, make: () => Promise<StoredCrl>): Promise<Buffer> {
    const running = this.making.get(key) ?? make();
    this.making.set(key, running);
    try {
      return (await running).der;
    } finally {
      this.making.delete(key);
    }
  }
}
