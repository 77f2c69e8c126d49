import { hash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { decodeProtectedHeader, errors, jwtVerify, SignJWT } from 'jose';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { ServiceAddress } from '../../common/http/service-address.js';
import { newId } from '../../common/ids/uuid.js';
import { PlatformKeys } from './platform-keys.js';

/** Lifetime of an access token; a revocation ends it earlier. */
export const ACCESS_TOKEN_SECONDS = 900;
const TYPE = 'at+jwt';
/** Verified tokens remembered, so that a poll costs no signature check. */
const REMEMBERED = 200_000;

interface Verified extends NodePrincipal {
  expiresAtMs: number;
}

/** The audience of a token: one cluster, so that it is worthless in any other. */
export function clusterAudience(clusterId: string): string {
  return `urn:fabric:cluster:${clusterId}`;
}

/**
 * Issues and checks the access tokens of nodes: short-lived JWTs, bound to one cluster. A token names the key that it
 * was got with, so that it ends when that key is revoked.
 */
@Injectable()
export class AccessTokens {
  private readonly verified = new Map<string, Verified>();
  /** The protected header that was last seen to be one of these; it is the same for all tokens of one key. */
  private header = '';

  constructor(
    private readonly keys: PlatformKeys,
    private readonly address: ServiceAddress,
  ) {}

  /** @param now the database's clock */
  async issue(
    { nodeId, clusterId, identityId }: NodePrincipal,
    now: Date,
    lifetimeSeconds = ACCESS_TOKEN_SECONDS,
  ): Promise<string> {
    const key = await this.keys.active();
    const issuedAt = Math.floor(now.getTime() / 1000);
    return new SignJWT({ cluster: clusterId, identity: identityId })
      .setProtectedHeader({ alg: 'EdDSA', typ: TYPE, kid: key.kid })
      .setIssuer(this.address.publicUrl)
      .setSubject(nodeId)
      .setAudience(clusterAudience(clusterId))
      .setJti(newId())
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + lifetimeSeconds)
      .sign(key.privateKey);
  }

  /** Whether `credential` has the form of one of these. */
  isAccessToken(credential: string): boolean {
    const header = credential.slice(0, Math.max(0, credential.indexOf('.')));
    if (header !== '' && header === this.header) return true;
    try {
      if (decodeProtectedHeader(credential).typ !== TYPE) return false;
    } catch {
      return false;
    }
    this.header = header;
    return true;
  }

  /** Whom a token speaks for that was verified before and is still valid; null: ask `verify`. */
  known(credential: string): NodePrincipal | null {
    const subject = this.verified.get(digestOf(credential));
    return subject !== undefined && subject.expiresAtMs > Date.now() ? subject : null;
  }

  /** Whom a token speaks for, or why it does not. */
  async verify(credential: string): Promise<NodePrincipal | { reason: string }> {
    const digest = digestOf(credential);
    const known = this.verified.get(digest);
    if (known !== undefined && known.expiresAtMs > Date.now()) return known;
    this.verified.delete(digest);
    const key = await this.keys.active();
    try {
      const { payload } = await jwtVerify(credential, key.publicKey, { algorithms: ['EdDSA'], typ: TYPE });
      const { sub, cluster, identity, aud, exp } = payload;
      if (
        typeof sub !== 'string' ||
        typeof cluster !== 'string' ||
        typeof identity !== 'string' ||
        exp === undefined
      )
        return { reason: 'claims are missing' };
      if (aud !== clusterAudience(cluster)) return { reason: 'the audience is another' };
      const subject = { nodeId: sub, clusterId: cluster, identityId: identity, expiresAtMs: exp * 1000 };
      this.remember(digest, subject);
      return subject;
    } catch (error) {
      if (error instanceof errors.JOSEError) return { reason: error.code };
      throw error;
    }
  }

  private remember(digest: string, subject: Verified): void {
    if (this.verified.size >= REMEMBERED) {
      const oldest = this.verified.keys().next();
      if (oldest.done !== true) this.verified.delete(oldest.value);
    }
    this.verified.set(digest, subject);
  }
}

/** What is remembered instead of the token, so that a look into the memory yields none. */
function digestOf(credential: string): string {
  return hash('sha256', credential, 'base64');
}
