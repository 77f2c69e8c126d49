import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { Injectable, type OnModuleInit } from '@nestjs/common';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { ChangeReader } from '../../common/changes/change-reader.js';
import { MasterKeyring } from '../../common/crypto/envelope.js';
import { Database } from '../../common/database/database.js';
import { sql } from '../../common/database/sql.js';
import type { Tx } from '../../common/transaction/tx.js';
import { TxEvents } from '../../common/transaction/tx-events.js';
import type { JwksProvider } from '../../common/trust/ports.js';
import { ClusterCreated } from './cluster-events.js';
import { ClusterKeyStore } from './cluster-key-store.js';

const PURPOSE = 'snapshot';
/** How long a key is remembered: the longest that an instance which has lost the feed signs with a replaced one. */
const REMEMBERED_MS = 60_000;
const ROTATED = /^trust_rotation\./;

/** The key by which a cluster's snapshots are signed. */
export interface SnapshotKey {
  kid: string;
  privateKey: KeyObject;
}

/** A snapshot key that was just made. */
export interface NewSnapshotKey {
  kid: string;
  publicJwk: JWK;
  sealedPrivateKey: Buffer;
}

interface Remembered {
  key: Promise<SnapshotKey>;
  untilMs: number;
}

/** The Ed25519 snapshot keys of clusters; private parts rest sealed, bound to their cluster. */
@Injectable()
export class ClusterKeys implements JwksProvider, OnModuleInit {
  private readonly known = new Map<string, Remembered>();

  constructor(
    private readonly database: Database,
    private readonly keyring: MasterKeyring,
    private readonly events: TxEvents,
    private readonly changes: ChangeReader,
    private readonly keys: ClusterKeyStore,
  ) {}

  onModuleInit(): void {
    this.events.on(ClusterCreated, async (tx, { clusterId }) => {
      await this.add(tx, clusterId, await this.make(clusterId), 'active');
    });
    this.changes.onGap(() => this.known.clear());
    this.changes.subscribe((changes) => {
      for (const { clusterId, kind } of changes)
        if (clusterId !== null && ROTATED.test(kind)) this.forget(clusterId);
    });
  }

  /** Makes the next signature ask which key is the active one. */
  forget(clusterId: string): void {
    this.known.delete(clusterId);
  }

  /** A new key pair, its private part sealed; nothing knows of it yet. */
  async make(clusterId: string): Promise<NewSnapshotKey> {
    const pair = generateKeyPairSync('ed25519');
    const jwk = pair.publicKey.export({ format: 'jwk' }) as JWK;
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

  /** The key that signs now. */
  active(clusterId: string): Promise<SnapshotKey> {
    const remembered = this.known.get(clusterId);
    if (remembered !== undefined && remembered.untilMs > Date.now()) return remembered.key;
    const key = this.load(clusterId);
    this.known.set(clusterId, { key, untilMs: Date.now() + REMEMBERED_MS });
    key.catch(() => this.known.delete(clusterId));
    return key;
  }

  /** Public keys that sign now, or have signed what may still be in use. */
  async jwks(clusterId: string): Promise<{ keys: JWK[] }> {
    const rows = await this.database.query<{ publicJwk: JWK }>(sql`
      SELECT k.public_jwk AS "publicJwk" FROM cluster_keys AS k
       WHERE k.cluster_id = ${clusterId}::uuid AND k.purpose = ${PURPOSE} AND k.phase <> 'retired'
       ORDER BY k.created_at DESC`);
    return { keys: rows.map((row) => row.publicJwk) };
  }

  private async load(clusterId: string): Promise<SnapshotKey> {
    const [row] = await this.database.query<{ kid: string; sealed: Buffer }>(sql`
      SELECT k.kid, k.sealed_private_key AS sealed FROM cluster_keys AS k
       WHERE k.cluster_id = ${clusterId}::uuid AND k.purpose = ${PURPOSE} AND k.phase = 'active'`);
    if (row === undefined) throw new Error(`cluster ${clusterId} has no snapshot key`);
    const der = this.keyring.open(row.sealed, { purpose: PURPOSE, clusterId });
    return { kid: row.kid, privateKey: createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }) };
  }
}
