import { createHash, createPublicKey, type JsonWebKey, type KeyObject, randomUUID } from 'node:crypto';
import canonicalize from 'canonicalize';
import { type CompactJWSHeaderParameters, CompactSign, SignJWT } from 'jose';
import { newKeyPair } from '../../src/common/crypto/new-key-pair.js';
import { type Answer, apiClient } from './api.js';
import { unique } from './given.js';

const canonicalJson = canonicalize as unknown as (value: unknown) => string;

/** SHA-256 of a text in base64url, as proofs carry it. */
export const sha256 = (text: string): string => createHash('sha256').update(text).digest('base64url');

/** What one enrollment says otherwise than an honest one would. */
export interface EnrollmentChanges {
  /** Members of the body, covered by the proof. */
  body?: Record<string, unknown>;
  /** Members of the body that are put in after the proof was made. */
  afterProof?: Record<string, unknown>;
  claims?: Record<string, unknown>;
  header?: CompactJWSHeaderParameters;
  signer?: KeyObject;
}

/** A host that asks to be admitted, with a key of its own and full control over what it says. */
export class Applicant {
  readonly publicKey: Record<string, unknown>;
  private readonly privateKey: KeyObject;

  constructor(
    readonly url: string,
    readonly nodeName = unique('node'),
    readonly kind: 'ed25519' | 'p256' = 'ed25519',
  ) {
    const { publicKey, privateKey } = newKeyPair(kind);
    this.publicKey = { ...publicKey.export({ format: 'jwk' }) };
    this.privateKey = privateKey;
  }

  /** A public JWK as a key object. */
  static publicKeyOf(jwk: Record<string, unknown>): KeyObject {
    return createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
  }

  /** RFC 7638, of its key. */
  get thumbprint(): string {
    const { crv, kty, x, y } = this.publicKey;
    return sha256(JSON.stringify(y === undefined ? { crv, kty, x } : { crv, kty, x, y }));
  }

  /** The private key, for what no honest host would do with it. */
  get privatePem(): string {
    return this.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  }

  /** The body of an enrollment with its proof. */
  async body(token: string, changes: EnrollmentChanges = {}): Promise<Record<string, unknown>> {
    const body = {
      token,
      nodeName: this.nodeName,
      publicKey: this.publicKey,
      facts: { os: 'linux', arch: 'x64', hostname: this.nodeName },
      capabilities: ['can_run_vpn_exit', 'can_route_mesh'],
      agentVersion: '0.1.0',
      ...changes.body,
    };
    const claims = {
      jti: randomUUID(),
      iat: Math.floor(Date.now() / 1000),
      aud: this.url,
      tokenHash: sha256(token),
      bodyHash: sha256(canonicalJson(body)),
      ...changes.claims,
    };
    const header = changes.header ?? { alg: this.kind === 'ed25519' ? 'EdDSA' : 'ES256' };
    const proof = await new CompactSign(Buffer.from(JSON.stringify(claims)))
      .setProtectedHeader(header)
      .sign(changes.signer ?? this.privateKey);
    return { ...body, proof, ...changes.afterProof };
  }

  /** Sends an enrollment. */
  async enroll(token: string, changes: EnrollmentChanges = {}): Promise<Answer> {
    return send(this.url, await this.body(token, changes));
  }

  /** The bearer with which the host asks about its request. */
  bearer(joinRequestId: string, claims: Record<string, unknown> = {}): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const all = {
      iss: joinRequestId,
      sub: joinRequestId,
      aud: this.url,
      jti: randomUUID(),
      iat: now,
      exp: now + 60,
      ...claims,
    };
    return new SignJWT(all)
      .setProtectedHeader({ alg: this.kind === 'ed25519' ? 'EdDSA' : 'ES256' })
      .sign(this.privateKey);
  }

  /** Asks what became of the request. */
  async status(joinRequestId: string, claims: Record<string, unknown> = {}): Promise<Answer> {
    return apiClient(this.url, await this.bearer(joinRequestId, claims)).get(
      `/node-agents/enroll/${joinRequestId}`,
    );
  }

  /** Takes the request back. */
  async cancel(joinRequestId: string): Promise<Answer> {
    return apiClient(this.url, await this.bearer(joinRequestId)).delete(
      `/node-agents/enroll/${joinRequestId}`,
    );
  }
}

/** Sends the body of an enrollment as it is. */
export function send(url: string, body: unknown): Promise<Answer> {
  return apiClient(url, null).post('/node-agents/enroll', body);
}

/** How many answers had each status. */
export function countByStatus(answers: readonly Answer[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}
