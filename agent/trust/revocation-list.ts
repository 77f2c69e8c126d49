// The certificate library resolves its parts by decorators' metadata.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { X509Certificate, X509Crl } from '@peculiar/x509';
import type { Root } from './trust-bundle.js';
import { Untrusted } from './untrusted.js';

/** What one authority of the cluster has revoked, signed by it. */
export interface RevocationList {
  authorityKid: string;
  /** The cluster's revocation epoch when the list was made. */
  epoch: number;
  thisUpdate: Date;
  nextUpdate: Date;
  /** Serials of the certificates that it names, in upper-case hexadecimal. */
  serials: ReadonlySet<string>;
  der: Buffer;
}

const CRL_NUMBER = '2.5.29.20';
/** How far ahead of the node's idea of the control plane's clock a list may be dated. */
const SKEW_MS = 300_000;

/**
 * Reads a revocation list: signed by `root`, with a number, and in its time unless `now` is null.
 * @throws Untrusted
 */
export async function readRevocationList(
  der: Uint8Array,
  root: Root,
  now: Date | null,
): Promise<RevocationList> {
  const crl = parse(der);
  const issuer = new X509Certificate(root.x509.raw);
  const isOfRoot = crl.issuerName.toString() === issuer.subjectName.toString();
  if (!isOfRoot || !(await crl.verify({ publicKey: issuer.publicKey }, webcrypto)))
    throw new Untrusted('bad_signature', `the revocation list is not signed by ${issuer.subject}`);
  const { thisUpdate, nextUpdate } = crl;
  const epoch = numberOf(crl);
  if (epoch === null || nextUpdate === undefined)
    throw new Untrusted('malformed', 'the revocation list has no number or no end');
  if (now !== null && (thisUpdate.getTime() > now.getTime() + SKEW_MS || nextUpdate <= now))
    throw new Untrusted('out_of_time', 'the revocation list is not in its time');
  const serials = new Set(crl.entries.map(({ serialNumber }) => plainSerial(serialNumber)));
  return { authorityKid: root.kid, epoch, thisUpdate, nextUpdate, serials, der: Buffer.from(der) };
}

/**
 * Whether `list` may take the place of `held`. The time at which the authority signed decides, then the number: an old
 * list that somebody replays is older, while after a restore of the control plane a younger list has a lower number.
 */
export function isNoOlder(list: RevocationList, held: RevocationList): boolean {
  const [at, heldAt] = [list.thisUpdate.getTime(), held.thisUpdate.getTime()];
  return at === heldAt ? list.epoch >= held.epoch : at > heldAt;
}

function parse(der: Uint8Array): X509Crl {
  try {
    return new X509Crl(Buffer.from(der));
  } catch (cause) {
    throw new Untrusted('malformed', 'what was served is no revocation list', { cause });
  }
}

/** As Node writes serials of certificates: without the zero byte that keeps a DER INTEGER from being negative. */
function plainSerial(hex: string): string {
  return hex.toUpperCase().replace(/^(00)+/, '');
}

/** The CRL number, a DER INTEGER; null when there is none that a number of JavaScript can hold. */
function numberOf(crl: X509Crl): number | null {
  const extension = crl.getExtension(CRL_NUMBER);
  if (extension === null) return null;
  const [tag, length, ...content] = Buffer.from(extension.value);
  if (tag !== 0x02 || length !== content.length || length === 0) return null;
  const value = Number(BigInt(`0x${Buffer.from(content).toString('hex')}`));
  return Number.isSafeInteger(value) ? value : null;
}
