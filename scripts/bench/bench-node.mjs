import { createHash, createPrivateKey, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import canonicalize from 'canonicalize';
import { requestBytes } from './http-connection.mjs';

/** An Ed25519 public key, which is the end of its SPKI form. */
const RAW_KEY_BYTES = 32;

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const sha256 = (text) => createHash('sha256').update(text).digest('base64url');

/** A node with a real key, as an agent would have it. */
export class BenchNode {
  instanceId = randomUUID();
  nodeId = '';
  token = '';
  /** Of the snapshot that it has. */
  etag = '';
  #privateKey;

  /** @param {string} name unique in the cluster */
  constructor(name) {
    this.name = name;
    // Encoded at once: Node 20 can lock itself up when a key is exported that it has just generated.
    const { publicKey, privateKey } = generateKeyPairSync('ed25519', {
      publicKeyEncoding: { type: 'spki', format: 'der' },
      privateKeyEncoding: { type: 'pkcs8', format: 'der' },
    });
    this.#privateKey = createPrivateKey({ key: privateKey, type: 'pkcs8', format: 'der' });
    const [kty, crv, x] = ['OKP', 'Ed25519', publicKey.subarray(-RAW_KEY_BYTES).toString('base64url')];
    this.publicKey = { kty, crv, x };
    // RFC 7638: the required members in the order of their names.
    this.thumbprint = sha256(JSON.stringify({ crv, kty, x }));
  }

  /** The request by which it asks to be admitted. */
  enrollment({ url, joinToken }) {
    const body = {
      token: joinToken,
      nodeName: this.name,
      publicKey: this.publicKey,
      facts: { os: 'linux', arch: 'x64', hostname: this.name, machineId: this.instanceId },
      capabilities: ['can_run_vpn_exit'],
      requestedRoles: ['vpn-exit'],
      agentVersion: '0.1.0',
    };
    const proof = this.#jws({
      jti: randomUUID(),
      iat: Math.floor(Date.now() / 1000),
      aud: url,
      tokenHash: sha256(joinToken),
      bodyHash: sha256(canonicalize(body)),
    });
    const path = '/api/v1/node-agents/enroll';
    return requestBytes({ method: 'POST', path, body: JSON.stringify({ ...body, proof }) });
  }

  /** The request by which it gets an access token; good for one use within some minutes. */
  tokenRequest({ url, clusterId }) {
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: this.nodeId,
      sub: this.nodeId,
      aud: url,
      jti: randomUUID(),
      iat: now,
      exp: now + 300,
      cluster: clusterId,
    };
    const form = new URLSearchParams({
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: this.#jws(claims),
    });
    return requestBytes({
      method: 'POST',
      path: '/api/v1/node-agents/token',
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
      body: form.toString(),
    });
  }

  /**
   * The request by which it asks for its snapshot.
   * @param {string} [etag] of the one that it has
   * @param {number} [waitSeconds] for another one
   */
  poll(etag, waitSeconds = 0) {
    const headers = etag === undefined ? {} : { 'If-None-Match': etag };
    const path = `/api/v1/node-agents/me/snapshot${waitSeconds === 0 ? '' : `?waitSeconds=${waitSeconds}`}`;
    return requestBytes({ path, token: this.token, headers });
  }

  #jws(claims) {
    const signed = `${base64url({ alg: 'EdDSA' })}.${base64url(claims)}`;
    return `${signed}.${sign(null, Buffer.from(signed), this.#privateKey).toString('base64url')}`;
  }
}
