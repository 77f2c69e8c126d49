import { createPrivateKey, type KeyObject } from 'node:crypto';
import { Injectable, type OnModuleInit } from '@nestjs/common';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { MasterKeyring } from '../../common/crypto/envelope.js';
import { newKeyPair } from '../../common/crypto/new-key-pair.js';
import { Database } from '../../common/database/database.js';
import { sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { TxEvents } from '../../common/transaction/tx-events.js';
import type { JwksProvider } from '../../common/trust/ports.js';
import { ClusterCreated } from './cluster-events.js';
import { ClusterKeyStore, type KeyPhase } from './cluster-key-store.js';

const PURPOSE = 'snapshot';
/** Private keys held open; a cluster has one that signs, and there may be many clusters. */
const OPENED_KEYS = 1_000;

/** A snapshot key that is trusted: it signs now, will sign, or has signed what may still be in use. */
export interface TrustedKey {
  kid: string;
  phase: KeyPhase;
  publicJwk: SnapshotJwk;
}

/** A public snapshot key as nodes see it. */
export interface SnapshotJwk {
  kty: 'OKP';
  crv: 'Ed25519';
  x: string;
  kid: string;
  alg: 'EdDSA';
  use: 'sig';
}

/** A snapshot key that was just made. */
export interface NewSnapshotKey {
  kid: string;
  publicJwk: SnapshotJwk;
  sealedPrivateKey: Buffer;
}

/** The Ed25519 snapshot keys of clusters; private parts rest sealed, bound to their cluster. */
@Injectable()
export class ClusterKeys implements JwksProvider, OnModuleInit {
  /** By key id: what a key is never changes, whatever its phase. */
  private readonly opened = new Map<string, Promise<KeyObject>>();

  constructor(
    private readonly database: Database,
    private readonly keyring: MasterKeyring,
    private readonly events: TxEvents,
    private readonly keys: ClusterKeyStore,
  ) {}

  onModuleInit(): void {
    this.events.on(ClusterCreated, async (tx, { clusterId }) => {
      await this.add(tx, clusterId, await this.make(clusterId), 'active');
    });
  }

  /** A new key pair, its private part sealed; nothing knows of it yet. */
  async make(clusterId: string): Promise<NewSnapshotKey> {
    const pair = newKeyPair('ed25519');
    const { x } = pair.publicKey.export({ format: 'jwk' }) as { x: string };
    const jwk = { kty: 'OKP', crv: 'Ed25519', x } as const;
    const kid = await calculateJwkThumbprint(jwk);
    const sealedPrivateKey = this.keyring.seal(pair.privateKey.export({ format: 'der', type: 'pkcs8' }), {
      purpose: PURPOSE,
      clusterId,
    });
    return { kid, publicJwk: { ...jwk, kid, alg: 'EdDSA', use: 'sig' }, sealedPrivateKey };
  }

  /** Publishes a key; a prepared one signs nothing before it is made the active one. */
  async add(tx: Tx, clusterId: string, key: NewSnapshotKey, phase: 'prepared' | 'active'): Promise<void> {
    await this.keys.insert(tx, clusterId, PURPOSE, { ...key, phase, certificate: null });
  }

  /** Keys that sign now, will sign, or have signed what may still be in use; oldest first. One is active. */
  trusted(tx: Pick<ReadTx, 'query'>, clusterId: string): Promise<TrustedKey[]> {
    return tx.query<TrustedKey>(sql`
      SELECT k.kid, k.phase, k.public_jwk AS "publicJwk" FROM cluster_keys AS k
       WHERE k.cluster_id = ${clusterId}::uuid AND k.purpose = ${PURPOSE} AND k.phase <> 'retired'
       ORDER BY k.created_at, k.kid`);
  }

  /** The private part of a key of the cluster. */
  privateKey(clusterId: string, kid: string): Promise<KeyObject> {
    const id = `${clusterId}/${kid}`;
    const known = this.opened.get(id);
    if (known !== undefined) return known;
    const opening = this.open(clusterId, kid);
    if (this.opened.size >= OPENED_KEYS) this.opened.clear();
    this.opened.set(id, opening);
    opening.catch(() => this.opened.delete(id));
    return opening;
  }

  async jwks(clusterId: string): Promise<{ keys: JWK[] }> {
    const rows = await this.trusted(this.database, clusterId);
    return { keys: rows.map((row) => ({ ...row.publicJwk })) };
  }

  private async open(clusterId: string, kid: string): Promise<KeyObject> {
    const [row] = await this.database.query<{ sealed: Buffer }>(sql`
      SELECT k.sealed_private_key AS sealed FROM cluster_keys AS k
       WHERE k.cluster_id = ${clusterId}::uuid AND k.purpose = ${PURPOSE} AND k.kid = ${kid}`);
    if (row === undefined) throw new Error(`cluster ${clusterId} has no snapshot key ${kid}`);
    const der = this.keyring.open(row.sealed, { purpose: PURPOSE, clusterId });
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  }
}
