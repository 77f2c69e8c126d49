import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

const PRODUCT = 'bench-agent';
const VERSION = '2.0.0';
const MANIFEST_TYPE = 'application/vnd.rap.release-manifest.v1+json';
const ARTIFACT_BYTES = 4_096;

/** A release that every node may have, and rollouts of it. */
export class RolloutStock {
  #stage;
  #fleet;

  constructor(stage, fleet) {
    this.#stage = stage;
    this.#fleet = fleet;
    this.path = `${fleet.path}/rollouts`;
  }

  /** Publishes the release, uploads its file and approves it. */
  async publish() {
    // Encoded at once, as in BenchNode.
    const { publicKey, privateKey } = generateKeyPairSync('ed25519', {
      publicKeyEncoding: { format: 'jwk' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
    const { crv, kty, x } = publicKey;
    const bytes = randomBytes(ARTIFACT_BYTES);
    const call = (method, path, body) => this.#stage.call(method, path, body);
    await call('POST', '/products', { name: PRODUCT, kind: 'node-agent', signatureThreshold: 1 });
    await call('POST', '/signing-keys', { name: 'bench', publicKey: { crv, kty, x }, products: [PRODUCT] });
    const payload = Buffer.from(JSON.stringify(manifest(bytes)));
    const signed = Buffer.concat([
      Buffer.from(`DSSEv1 ${MANIFEST_TYPE.length} ${MANIFEST_TYPE} ${payload.length} `),
      payload,
    ]);
    // RFC 7638: the required members in the order of their names.
    const keyid = createHash('sha256').update(JSON.stringify({ crv, kty, x })).digest('base64url');
    await call('POST', `/products/${PRODUCT}/releases`, {
      payloadType: MANIFEST_TYPE,
      payload: payload.toString('base64'),
      signatures: [{ keyid, sig: sign(null, signed, privateKey).toString('base64') }],
    });
    const release = `/products/${PRODUCT}/releases/${VERSION}`;
    await this.#stage.upload(`${release}/artifacts/linux/x64`, bytes);
    await call('POST', `${release}/approve`);
  }

  /** The body of a rollout to the whole cluster: first the nodes that really call, then all others. */
  body(callers, maxUnavailable) {
    return {
      product: PRODUCT,
      targetVersion: VERSION,
      strategy: {
        waves: [
          { name: 'callers', selector: { nodeIds: callers.map(({ nodeId }) => nodeId) } },
          { name: 'tenth', percent: 10 },
          { name: 'rest', percent: 100 },
        ],
        maxUnavailable,
        successThresholdPercent: 90,
        failureThresholdPercent: 5,
        progressDeadlineSeconds: 86_400,
        autoRollback: false,
      },
    };
  }

  /** The update that each node is told of, in the order of the nodes; null: of none. @param told snapshots */
  static updatesOf(told) {
    return told.map(({ jws }) => {
      const payload = JSON.parse(Buffer.from(jws.split('.')[1], 'base64url').toString('utf8'));
      return payload.updates[0] ?? null;
    });
  }

  /** Lets every node of a wave, none of which calls, have the version. */
  async finishWave(id, position) {
    await this.#stage.database.query(
      `UPDATE rollout_assignments AS a SET state = 'ok', node_state = 'running'
        WHERE a.rollout_id = $1 AND a.direction = 'forward' AND a.wave_position = $2`,
      [id, position],
    );
    await this.#stage.database.query('DELETE FROM update_slots AS s WHERE s.cluster_id = $1', [
      this.#fleet.clusterId,
    ]);
    await this.#stage.database.query('ANALYZE rollout_assignments');
  }
}

function manifest(bytes) {
  return {
    schema: 'rap.release_manifest.v1',
    product: PRODUCT,
    version: VERSION,
    artifacts: [
      {
        os: 'linux',
        arch: 'x64',
        sha256: createHash('sha256').update(bytes).digest('hex'),
        size: bytes.length,
        mediaType: 'application/gzip',
        fileName: `${PRODUCT}.tar.gz`,
      },
    ],
    compatibility: {},
    migrations: [],
  };
}
