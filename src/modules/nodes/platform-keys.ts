import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { MasterKeyring } from '../../common/crypto/envelope.js';
import { newKeyPair } from '../../common/crypto/new-key-pair.js';
import { Database } from '../../common/database/database.js';
import { sql } from '../../common/database/sql.js';

const PURPOSE = 'access_token';

/** A key pair by which the platform signs. */
export interface SigningKey {
  kid: string;
  publicJwk: JWK;
  publicKey: KeyObject;
  privateKey: KeyObject;
}

interface KeyRow {
  kid: string;
  publicJwk: JWK;
  sealedPrivateKey: Buffer;
}

/** The Ed25519 keys of node access tokens, made when first needed and the same on every instance. */
@Injectable()
export class PlatformKeys {
  private loading: Promise<SigningKey> | null = null;

  constructor(
    private readonly database: Database,
    private readonly keyring: MasterKeyring,
  ) {}

  /** The key that signs now. */
  active(): Promise<SigningKey> {
    this.loading ??= this.load().catch((error: unknown) => {
      this.loading = null;
      throw error;
    });
    return this.loading;
  }

  /** The public keys by which tokens can be checked, as a JWK set. */
  async jwks(): Promise<{ keys: JWK[] }> {
    await this.active();
    const rows = await this.database.query<{ publicJwk: JWK }>(sql`
      SELECT k.public_jwk AS "publicJwk" FROM platform_signing_keys AS k WHERE k.purpose = ${PURPOSE} ORDER BY k.created_at DESC`);
    return { keys: rows.map((row) => row.publicJwk) };
  }

  private async load(): Promise<SigningKey> {
    const known = await this.find();
    if (known !== null) return this.open(known);
    const pair = newKeyPair('ed25519');
    const jwk = pair.publicKey.export({ format: 'jwk' }) as JWK;
    const kid = await calculateJwkThumbprint(jwk);
    const publicJwk = { ...jwk, kid, alg: 'EdDSA', use: 'sig' };
    const sealed = this.keyring.seal(pair.privateKey.export({ format: 'der', type: 'pkcs8' }), {
      purpose: PURPOSE,
    });
    // Another instance may have been faster; whoever is in the table is right.
    await this.database.query(sql`
      INSERT INTO platform_signing_keys (kid, purpose, public_jwk, sealed_private_key)
      VALUES (${kid}, ${PURPOSE}, ${JSON.stringify(publicJwk)}::jsonb, ${sealed}) ON CONFLICT DO NOTHING`);
    const row = await this.find();
    if (row === null) throw new Error('the access-token key was not written');
    return this.open(row);
  }

  private async find(): Promise<KeyRow | null> {
    const [row] = await this.database.query<KeyRow>(sql`
      SELECT k.kid, k.public_jwk AS "publicJwk", k.sealed_private_key AS "sealedPrivateKey"
        FROM platform_signing_keys AS k WHERE k.purpose = ${PURPOSE} AND k.retired_at IS NULL`);
    return row ?? null;
  }

  private open({ kid, publicJwk, sealedPrivateKey }: KeyRow): SigningKey {
    const der = this.keyring.open(sealedPrivateKey, { purpose: PURPOSE });
    const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
    return { kid, publicJwk, publicKey: createPublicKey(privateKey), privateKey };
  }
}
