import { X509Certificate } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { notFound } from '../../common/errors/domain-error.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { SharedReads } from '../../common/waiting/shared-reads.js';
import { ClusterKeyStore } from '../clusters/cluster-key-store.js';
import { type CertificateAuthority, type TrustBundle, trustBundle } from './authority.js';
import { CertificateAuthorities } from './certificate-authorities.js';
import { CrlsRepository } from './crls.repository.js';
import type { TrustView } from './trust.schema.js';

/** What a cluster trusts, and by what it is trusted. */
@Injectable()
export class TrustService {
  private readonly bundles = new SharedReads<TrustBundle>();

  constructor(
    private readonly transactor: Transactor,
    private readonly authorities: CertificateAuthorities,
    private readonly keys: ClusterKeyStore,
    private readonly crls: CrlsRepository,
  ) {}

  /** @throws not_found */
  get(clusterId: string): Promise<TrustView> {
    return this.transactor.read(async (tx) => {
      const authorities = await this.authorities.list(tx, clusterId);
      const snapshotKeys = await this.keys.list(tx, clusterId, 'snapshot');
      const revocationEpoch = await this.crls.epoch(tx, clusterId);
      if (revocationEpoch === null) throw notFound('not_found', 'There is no such cluster.');
      return {
        clusterId,
        authorities: authorities.map(authorityView),
        snapshotKeys: snapshotKeys.map(({ kid, phase, createdAt }) => ({
          kid,
          phase,
          active: phase === 'active',
          createdAt: createdAt.toISOString(),
        })),
        bundleFingerprint: trustBundle(authorities).fingerprint.toString('hex'),
        revocationEpoch,
      };
    });
  }

  /** The roots that the cluster's nodes trust. They come for it at once when it has changed. */
  bundle(clusterId: string): Promise<TrustBundle> {
    return this.bundles.get(clusterId, () =>
      this.transactor.read((tx) => this.authorities.bundle(tx, clusterId)),
    );
  }
}

function authorityView({ kid, phase, certificate }: CertificateAuthority): TrustView['authorities'][number] {
  const x509 = new X509Certificate(certificate);
  return {
    kid,
    phase,
    active: phase === 'active',
    subject: x509.subject,
    fingerprint: x509.fingerprint256.replaceAll(':', '').toLowerCase(),
    notBefore: new Date(x509.validFrom).toISOString(),
    notAfter: new Date(x509.validTo).toISOString(),
    certificate,
  };
}
