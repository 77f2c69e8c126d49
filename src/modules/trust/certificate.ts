import { randomBytes } from 'node:crypto';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import type { Validity } from './x509.js';

/** A certificate of a node, as it is recorded. */
export interface NodeCertificate extends Validity {
  clusterId: string;
  /** 128 bits in upper-case hexadecimal. */
  serial: string;
  nodeId: string;
  /** The identity that asked for it; null: not known, from before it was recorded. */
  identityId: string | null;
  authorityKid: string;
  keyThumbprint: string;
  issuedAt: Date;
  revokedAt: Date | null;
  revocationReason: string | null;
}

export type CertificateStatus = 'active' | 'expired' | 'revoked';

/** Lifetime when none is asked for, which is the longest. */
export const CERTIFICATE_SECONDS = 86_400;
/** Shortest lifetime that can be asked for. */
export const MIN_CERTIFICATE_SECONDS = 10;
/** How far `notBefore` lies back: clocks of peers that run a little behind accept the certificate at once. */
const BACKDATED_SECONDS = 300;
/** Renewal begins at two thirds of the lifetime, spread over a tenth of it, so that a fleet does not come at once. */
const RENEW_AT = 2 / 3;
const RENEW_WITHIN = 1 / 10;
const SERIAL_BYTES = 16;

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'node_certificate.issued': {
      before: null;
      after: { nodeId: string; authorityKid: string; notAfter: string; asserted: boolean };
    };
    'node_certificate.revoked': { before: null; after: { serials: string[]; revocationEpoch: number } };
  }
}

/** A new serial: 128 random bits. One that begins with a zero byte is drawn again, so that all are of one length. */
export function newSerial(): string {
  for (;;) {
    const bytes = randomBytes(SERIAL_BYTES);
    if (bytes[0] !== 0) return bytes.toString('hex').toUpperCase();
  }
}

/** From when until when a certificate issued at `now` is good; it does not outlive its authority. */
export function validity(now: Date, lifetimeSeconds: number, authorityNotAfter: Date): Validity {
  const seconds = Math.floor(now.getTime() / 1000);
  const end = Math.min(seconds + lifetimeSeconds, Math.floor(authorityNotAfter.getTime() / 1000));
  return { notBefore: new Date((seconds - BACKDATED_SECONDS) * 1000), notAfter: new Date(end * 1000) };
}

/** When a certificate is to be renewed. */
export interface RenewalWindow {
  start: Date;
  end: Date;
  /** The instant within the window that is this certificate's own. */
  renewAfter: Date;
}

/** The renewal window, from the certificate alone: where in it this one is renewed follows from its random serial. */
export function renewalWindow({
  serial,
  issuedAt,
  notAfter,
}: Pick<NodeCertificate, 'serial' | 'issuedAt' | 'notAfter'>): RenewalWindow {
  const lifetime = notAfter.getTime() - issuedAt.getTime();
  const at = (part: number) => new Date(issuedAt.getTime() + Math.floor(lifetime * part));
  const jitter = Number.parseInt(serial.slice(-8), 16) / 2 ** 32;
  return {
    start: at(RENEW_AT),
    end: at(RENEW_AT + RENEW_WITHIN),
    renewAfter: at(RENEW_AT + RENEW_WITHIN * jitter),
  };
}

/** Where a certificate stands at `now`. */
export function certificateStatus(
  { revokedAt, notAfter }: Pick<NodeCertificate, 'revokedAt' | 'notAfter'>,
  now: Date,
): CertificateStatus {
  if (revokedAt !== null) return 'revoked';
  return notAfter <= now ? 'expired' : 'active';
}

/** @param asserted whether the request came with proof of the identity key */
export function certificateIssued(certificate: NodeCertificate, asserted: boolean): AuditEvent {
  const { serial, nodeId, clusterId, authorityKid, notAfter } = certificate;
  return {
    action: 'node_certificate.issued',
    resource: { type: 'node_certificate', id: serial, name: null },
    clusterId,
    outcome: 'success',
    reason: null,
    before: null,
    after: { nodeId, authorityKid, notAfter: notAfter.toISOString(), asserted },
  };
}

/** The event of the end of certificates of a node. */
export function certificatesRevoked(
  clusterId: string,
  nodeId: string,
  serials: string[],
  revocationEpoch: number,
): AuditEvent {
  return {
    action: 'node_certificate.revoked',
    resource: { type: 'node', id: nodeId, name: null },
    clusterId,
    outcome: 'success',
    reason: null,
    before: null,
    after: { serials, revocationEpoch },
  };
}
