// The certificate library resolves its parts by decorators' metadata.
import 'reflect-metadata';
import { createPrivateKey, webcrypto } from 'node:crypto';
import { Pkcs10CertificateRequestGenerator } from '@peculiar/x509';

/** What a certificate's key can be. P-256 is understood by every TLS stack. */
export type CertificateKeyType = 'p256' | 'ed25519';
export const CERTIFICATE_KEY_TYPES: readonly CertificateKeyType[] = ['p256', 'ed25519'];

/** A fresh key and the request over it; kept until its certificate is there, so that a lost answer costs no new key. */
export interface CertificateRequest {
  keyType: CertificateKeyType;
  /** PEM, PKCS#8. */
  key: string;
  /** PEM, PKCS#10. */
  csr: string;
}

const ALGORITHMS = {
  p256: { key: { name: 'ECDSA', namedCurve: 'P-256' }, signing: { name: 'ECDSA', hash: 'SHA-256' } },
  ed25519: { key: { name: 'Ed25519' }, signing: { name: 'Ed25519' } },
};

/**
 * Makes a key, apart from every other, and a request over it. Subject and extensions stay empty: the control plane takes
 * nothing but the key.
 */
export async function makeCertificateRequest(keyType: CertificateKeyType): Promise<CertificateRequest> {
  const { key, signing } = ALGORITHMS[keyType];
  const keys = (await webcrypto.subtle.generateKey(key, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const request = await Pkcs10CertificateRequestGenerator.create(
    { keys, signingAlgorithm: signing },
    webcrypto,
  );
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const pem = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  return {
    keyType,
    key: pem.export({ format: 'pem', type: 'pkcs8' }).toString(),
    csr: `${request.toString('pem')}\n`,
  };
}
