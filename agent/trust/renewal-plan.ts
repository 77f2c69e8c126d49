import type { CertificateKeyType } from './certificate-request.js';
import type { NodeCertificate } from './node-certificate.js';

/** What the operator of the host wants of certificates. */
export interface CertificateWish {
  keyType: CertificateKeyType;
  /** Shorter than the control plane's own, in seconds; null: its own. */
  lifetimeSeconds: number | null;
}

/** When the control plane wants a certificate renewed, as RFC 9773 says it of ACME. */
export interface RenewalWindow {
  serial: string;
  start: Date;
  end: Date;
}

/** Why there is to be a new certificate. */
export type RenewalReason =
  /** There is none yet. */
  | 'none'
  /** Another key type or lifetime is wanted than it was asked for with. */
  | 'other_wish'
  /** The root that issued it is no longer trusted. */
  | 'root_gone'
  /** A revocation list names it: the key that had asked for it was revoked, and the node goes on with another one. */
  | 'revoked'
  /** Its time has come. */
  | 'due';

/** What a renewal is decided on. */
export interface RenewalGrounds {
  held: NodeCertificate | null;
  wish: CertificateWish;
  /** Whether a root of the held bundle issued it. */
  isRooted: boolean;
  /** Whether a held list names it. */
  isRevoked: boolean;
  /** Null until the control plane was asked. */
  window: RenewalWindow | null;
}

/** Without a word of the control plane: from two thirds of the lifetime on, spread over a tenth of it. */
const RENEW_AT = 2 / 3;
const RENEW_WITHIN = 1 / 10;
/** The control plane is asked for its window so often in a lifetime, within these bounds. */
const ASKED_A_LIFETIME = 96;
const ASK_RANGE_MS = { min: 5_000, max: 900_000 };

/** From when on a certificate is to be replaced, and why. The epoch means: now, whatever the clock says. */
export function renewalOf({ held, wish, isRooted, isRevoked, window }: RenewalGrounds): {
  at: Date;
  reason: RenewalReason;
} {
  const now = new Date(0);
  if (held === null) return { at: now, reason: 'none' };
  if (held.keyType !== wish.keyType || held.lifetimeSeconds !== wish.lifetimeSeconds)
    return { at: now, reason: 'other_wish' };
  if (!isRooted) return { at: now, reason: 'root_gone' };
  if (isRevoked) return { at: now, reason: 'revoked' };
  const announced = held.renewAfter === null ? null : new Date(held.renewAfter);
  if (window === null || window.serial !== held.serial)
    return { at: announced ?? byLifetime(held), reason: 'due' };
  const { start, end } = window;
  // The instant that came with the certificate is this node's own share of the window, as long as that stays where it was.
  const stays = announced !== null && start <= announced && announced <= end;
  return { at: stays ? announced : within(start, end, held.serial), reason: 'due' };
}

/** How long to wait between two questions for the window, in milliseconds. */
export function windowPollMs(held: NodeCertificate): number {
  const { min, max } = ASK_RANGE_MS;
  return Math.min(max, Math.max(min, lifetimeMs(held) / ASKED_A_LIFETIME));
}

function byLifetime(held: NodeCertificate): Date {
  const obtainedAt = Date.parse(held.obtainedAt);
  const at = (part: number): Date => new Date(obtainedAt + lifetimeMs(held) * part);
  return within(at(RENEW_AT), at(RENEW_AT + RENEW_WITHIN), held.serial);
}

/** From when it was obtained: certificates are back-dated. */
function lifetimeMs(held: NodeCertificate): number {
  return held.notAfter.getTime() - Date.parse(held.obtainedAt);
}

/** The serial is random, and the same after a restart. */
function within(start: Date, end: Date, serial: string): Date {
  const fraction = Number.parseInt(serial.slice(-8), 16) / 2 ** 32;
  return new Date(start.getTime() + (end.getTime() - start.getTime()) * fraction);
}
