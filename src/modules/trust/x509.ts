// The certificate library resolves its parts by decorators' metadata.
import 'reflect-metadata';
import type { KeyObject, webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  CRLDistributionPointsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  X509CrlGenerator,
  X509CrlReason,
} from '@peculiar/x509';
import { derInteger } from './der.js';
import { NAME_CONSTRAINTS_OID, nameConstraints } from './name-constraints.js';

/** Signs the bytes of a certificate or list: ECDSA P-256 with SHA-256, r and s (IEEE P1363). */
export type SignTbs = (tbs: Uint8Array) => Promise<Buffer>;

/** From when until when a certificate is good; whole seconds, which is all that X.509 can say. */
export interface Validity {
  notBefore: Date;
  notAfter: Date;
}

/** What a root is made of. */
export interface RootInput extends Validity {
  clusterId: string;
  kid: string;
  serial: string;
  publicKey: KeyObject;
}

/** What a node's certificate is made of; nothing of it comes from its CSR but the key. */
export interface LeafInput extends Validity {
  clusterId: string;
  nodeId: string;
  serial: string;
  publicKey: KeyObject;
  /** PEM of the authority. */
  issuer: string;
  crlUrl: string;
}

/** What a revocation list is made of. */
export interface CrlInput {
  /** PEM of the authority. */
  issuer: string;
  /** The cluster's revocation epoch. */
  number: number;
  thisUpdate: Date;
  nextUpdate: Date;
  revoked: readonly { serial: string; revokedAt: Date }[];
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const CRL_NUMBER_OID = '2.5.29.20';
const KID_SHOWN = 8;

/** The SPIFFE id of a node: by ids, since slugs and names can be used again. */
export function spiffeId(clusterId: string, nodeId: string): string {
  return `spiffe://${clusterId}/node/${nodeId}`;
}

/** A self-signed root as PEM: it issues for nodes of its cluster alone, and never for another authority. */
export async function makeRoot({ clusterId, kid, ...input }: RootInput, sign: SignTbs): Promise<string> {
  // Each authority of a cluster has a name of its own, so that its revocation list is never taken for another's.
  const name = `CN=Fabric CA ${clusterId} ${kid.slice(0, KID_SHOWN)}`;
  const spki = spkiOf(input.publicKey);
  const certificate = await X509CertificateGenerator.create(
    {
      ...signing,
      serialNumber: input.serial,
      subject: name,
      issuer: name,
      notBefore: input.notBefore,
      notAfter: input.notAfter,
      publicKey: spki,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        new Extension(NAME_CONSTRAINTS_OID, true, nameConstraints(clusterId)),
        new SubjectAlternativeNameExtension([{ type: 'url', value: `spiffe://${clusterId}` }]),
        await SubjectKeyIdentifierExtension.create(spki),
      ],
    },
    signingBy(sign),
  );
  return pem(certificate);
}

/** A node's certificate as PEM: an empty subject, one URI SAN, for either side of a TLS connection. */
export async function makeLeaf(input: LeafInput, sign: SignTbs): Promise<string> {
  const issuer = new X509Certificate(input.issuer);
  const spki = spkiOf(input.publicKey);
  const certificate = await X509CertificateGenerator.create(
    {
      ...signing,
      serialNumber: input.serial,
      issuer: issuer.subjectName,
      notBefore: input.notBefore,
      notAfter: input.notAfter,
      publicKey: spki,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
        // Critical, as RFC 5280 wants it where the subject is empty.
        new SubjectAlternativeNameExtension(
          [{ type: 'url', value: spiffeId(input.clusterId, input.nodeId) }],
          true,
        ),
        await SubjectKeyIdentifierExtension.create(spki),
        await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
        new CRLDistributionPointsExtension([input.crlUrl]),
      ],
    },
    signingBy(sign),
  );
  return pem(certificate);
}

/** A revocation list of one authority, in DER. */
export async function makeCrl(input: CrlInput, sign: SignTbs): Promise<Buffer> {
  const issuer = new X509Certificate(input.issuer);
  const crl = await X509CrlGenerator.create(
    {
      ...signing,
      issuer: issuer.subjectName,
      thisUpdate: input.thisUpdate,
      nextUpdate: input.nextUpdate,
      entries: input.revoked.map(({ serial, revokedAt }) => ({
        serialNumber: serial,
        revocationDate: revokedAt,
        reason: X509CrlReason.privilegeWithdrawn,
      })),
      extensions: [
        await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
        new Extension(CRL_NUMBER_OID, false, derInteger(input.number)),
      ],
    },
    signingBy(sign),
  );
  return Buffer.from(crl.rawData);
}

/** The library signs through WebCrypto with a CryptoKey. It gets one that names the algorithm and holds no key, and
 *  the one call that the signer answers: a key that lives elsewhere has no other way in. */
const signing = {
  signingKey: { algorithm: ALGORITHM } as unknown as webcrypto.CryptoKey,
  signingAlgorithm: ALGORITHM,
};

function signingBy(sign: SignTbs): webcrypto.Crypto {
  const subtle = {
    sign: (_algorithm: unknown, _key: unknown, tbs: ArrayBuffer) => sign(new Uint8Array(tbs)),
  };
  return { subtle } as unknown as webcrypto.Crypto;
}

function spkiOf(key: KeyObject): Uint8Array<ArrayBuffer> {
  return new Uint8Array(key.export({ format: 'der', type: 'spki' }));
}

function pem(certificate: X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}
