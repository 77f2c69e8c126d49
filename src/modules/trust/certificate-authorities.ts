import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { TxEvents } from '../../common/transaction/tx-events.js';
import { ClusterCreated } from '../clusters/cluster-events.js';
import { ClusterKeyStore } from '../clusters/cluster-key-store.js';
import { authorityOf, type CertificateAuthority, type TrustBundle, trustBundle } from './authority.js';
import { newSerial } from './certificate.js';
import { CERTIFICATE_SIGNER, type CertificateSigner } from './certificate-signer.js';
import { makeRoot, type SignTbs } from './x509.js';

const PURPOSE = 'ca';
const YEARS = 10;
const YEAR_MS = 365 * 86_400_000;
/** A node whose clock runs behind trusts a new cluster's root all the same. */
const BACKDATED_MS = 3_600_000;

/** An authority that was just made. */
export interface NewAuthority {
  kid: string;
  publicJwk: JWK;
  certificate: string;
  handle: Buffer;
}

/** The certificate authorities of clusters: one root each, two while it is rotated. */
@Injectable()
export class CertificateAuthorities implements OnModuleInit {
  constructor(
    private readonly keys: ClusterKeyStore,
    private readonly events: TxEvents,
    @Inject(CERTIFICATE_SIGNER) private readonly signer: CertificateSigner,
  ) {}

  onModuleInit(): void {
    this.events.on(ClusterCreated, async (tx, { clusterId }) => {
      await this.add(tx, clusterId, await this.make(clusterId, tx.now), 'active');
    });
  }

  /** A new root, with a key that is its signer's; nothing knows of it yet. @param now the database's clock */
  async make(clusterId: string, now: Date): Promise<NewAuthority> {
    const { publicKey, handle } = await this.signer.generate(clusterId);
    const jwk = publicKey.export({ format: 'jwk' }) as JWK;
    const kid = await calculateJwkThumbprint(jwk);
    const notBefore = wholeSeconds(now.getTime() - BACKDATED_MS);
    const notAfter = wholeSeconds(notBefore.getTime() + YEARS * YEAR_MS);
    const certificate = await makeRoot(
      { clusterId, kid, serial: newSerial(), publicKey, notBefore, notAfter },
      (tbs) => this.signer.sign({ clusterId, handle }, tbs),
    );
    return { kid, publicJwk: { ...jwk, kid, alg: 'ES256', use: 'sig' }, certificate, handle };
  }

  /** Adds a root to what the cluster's nodes trust. */
  async add(tx: Tx, clusterId: string, authority: NewAuthority, phase: 'prepared' | 'active'): Promise<void> {
    const { kid, publicJwk, certificate, handle } = authority;
    await this.keys.insert(tx, clusterId, PURPOSE, {
      kid,
      phase,
      publicJwk,
      certificate,
      sealedPrivateKey: handle,
    });
    await this.noteBundle(tx, clusterId);
  }

  /** All authorities that the cluster has or had, oldest first. */
  async list(tx: Pick<ReadTx, 'query'>, clusterId: string): Promise<CertificateAuthority[]> {
    return (await this.keys.list(tx, clusterId, PURPOSE)).map(authorityOf);
  }

  /** What the cluster's nodes trust. */
  async bundle(tx: Pick<ReadTx, 'query'>, clusterId: string): Promise<TrustBundle> {
    return trustBundle(await this.list(tx, clusterId));
  }

  /** How the authority signs. */
  signing(clusterId: string, { handle }: Pick<CertificateAuthority, 'handle'>): SignTbs {
    return (tbs) => this.signer.sign({ clusterId, handle }, tbs);
  }

  /** Writes down the fingerprint that heartbeats tell nodes; after each change of the authorities. */
  async noteBundle(tx: Tx, clusterId: string): Promise<void> {
    const { fingerprint } = await this.bundle(tx, clusterId);
    await tx.query(sql`
      UPDATE clusters AS c SET trust_bundle_fingerprint = ${fingerprint} WHERE c.id = ${clusterId}::uuid`);
  }
}

function wholeSeconds(ms: number): Date {
  return new Date(Math.floor(ms / 1000) * 1000);
}
