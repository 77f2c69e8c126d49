import { createPrivateKey, type KeyObject, sign } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { MasterKeyring, type SealContext } from '../../common/crypto/envelope.js';
import { newKeyPair } from '../../common/crypto/new-key-pair.js';
import type { AuthorityKey, CertificateSigner } from './certificate-signer.js';

/** Signs with keys that rest in the database, sealed under the master key and bound to their cluster. */
@Injectable()
export class SealedKeySigner implements CertificateSigner {
  constructor(private readonly keyring: MasterKeyring) {}

  async generate(clusterId: string): Promise<{ publicKey: KeyObject; handle: Buffer }> {
    const { publicKey, privateKey } = newKeyPair('p256');
    const handle = this.keyring.seal(privateKey.export({ format: 'der', type: 'pkcs8' }), context(clusterId));
    return { publicKey, handle };
  }

  async sign({ clusterId, handle }: AuthorityKey, tbs: Uint8Array): Promise<Buffer> {
    const der = this.keyring.open(handle, context(clusterId));
    const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
    return sign('sha256', tbs, { key, dsaEncoding: 'ieee-p1363' });
  }
}

function context(clusterId: string): SealContext {
  return { purpose: 'ca', clusterId };
}
