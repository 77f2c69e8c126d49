import { Inject, Injectable } from '@nestjs/common';
import { RUNTIME, type Runtime } from '../../common/config/runtime.js';
import { conflict, invalid } from '../../common/errors/domain-error.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { type Envelope, MANIFEST_TYPE, payloadOf, verifyEnvelope } from './envelope.js';
import { manifestInvalid, readManifest } from './manifest.js';
import { noSuchProduct, type Product, requireThreshold } from './product.js';
import { ProductsRepository } from './products.repository.js';
import { doerOf, releasePublished } from './release.js';
import { releaseView } from './release-view.js';
import { ReleasesRepository } from './releases.repository.js';
import type { ReleaseView } from './releases.schema.js';
import { type SigningKey, verifyingKey } from './signing-key.js';
import { SigningKeysRepository } from './signing-keys.repository.js';

/** Takes signed releases in. Signatures are held against the bytes that came, before anybody reads what they say. */
@Injectable()
export class ReleasePublishingService {
  constructor(
    private readonly transactor: Transactor,
    private readonly releases: ReleasesRepository,
    private readonly products: ProductsRepository,
    private readonly keys: SigningKeysRepository,
    @Inject(RUNTIME) private readonly runtime: Runtime,
  ) {}

  /**
   * @param bytes the envelope as it came, which is what is kept
   * @throws not_found; conflict `version_exists`; invalid `signature_invalid`, `signature_threshold_not_met`,
   * `manifest_invalid`
   */
  publish(actor: Actor, name: string, envelope: Envelope, bytes: Buffer): Promise<ReleaseView> {
    return this.transactor.mutate(actor, async (tx) => {
      const product = await this.products.hold(tx, name);
      if (product === null) throw noSuchProduct();
      const signers = await this.signers(tx, product, envelope);
      if (envelope.payloadType !== MANIFEST_TYPE) throw otherType();
      const payload = payloadOf(envelope);
      const manifest = readManifest(payload, this.runtime.config.artifacts.maxBytes);
      if (manifest.product !== name) throw otherProduct(name);
      const { version } = manifest;
      const id = await this.releases.insert(tx, {
        productId: product.id,
        manifest,
        manifestText: payload.toString('utf8'),
        envelope: bytes,
        payload,
        signingKeyIds: signers.map((key) => key.id),
        publishedBy: doerOf(actor),
      });
      if (id === null) throw await this.versionExists(tx, product, version);
      const release = await this.releases.find(tx, name, version);
      if (release === null) throw new Error('the release was not written');
      const signedBy = signers.map(({ keyId }) => keyId).sort();
      return {
        result: releaseView(release, manifest),
        events: [releasePublished(release, release.manifestSha256, signedBy)],
      };
    });
  }

  /** The trusted keys that have signed. Keys that are not the product's, or are revoked, count as strangers. */
  private async signers(tx: Tx, product: Product, envelope: Envelope): Promise<SigningKey[]> {
    const named = envelope.signatures.map(({ keyid }) => keyid);
    const trusted = await this.keys.holdTrusted(tx, product.id, named);
    const { signedBy, forged } = verifyEnvelope(
      envelope,
      trusted.map(({ keyId, publicKey }) => ({ keyId, key: verifyingKey(publicKey) })),
    );
    if (forged.length > 0 || signedBy.length === 0) throw signatureInvalid(envelope, forged);
    requireThreshold(product, signedBy.length);
    return trusted.filter(({ keyId }) => signedBy.includes(keyId));
  }

  private async versionExists(tx: Tx, product: Product, version: string) {
    const existing = await this.releases.versionLike(tx, product.id, version);
    const detail =
      existing === version
        ? `Version ${version} is published already, and never changes.`
        : `Version ${version} is equal in precedence to ${existing}: build metadata makes no other version.`;
    return conflict('version_exists', detail);
  }
}

function signatureInvalid({ signatures }: Envelope, forged: readonly string[]) {
  const errors = signatures.flatMap(({ keyid }, index) =>
    forged.includes(keyid)
      ? [{ pointer: `#/signatures/${index}/sig`, message: 'Is not by this key over this payload.' }]
      : [],
  );
  const detail =
    forged.length > 0
      ? 'A signature is not by the key that it names, over this type and payload.'
      : 'None of the signatures is by a key that signs for this product.';
  return invalid('signature_invalid', detail, { errors });
}

function otherType() {
  const errors = [{ pointer: '#/payloadType', message: `Must be ${MANIFEST_TYPE}.` }];
  return invalid('invalid_request', 'The payload is of another type.', { errors });
}

function otherProduct(name: string) {
  return manifestInvalid(
    [{ pointer: '#/product', message: `Must be ${name}, as in the path.` }],
    'The manifest is of another product.',
  );
}
