import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { conflict, invalid } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { type NodeKey, readNodeKey } from '../nodes/node-key.js';
import { ProductsRepository } from './products.repository.js';
import { noSuchSigningKey, type SigningKey, signingKeyCreated, signingKeyRevoked } from './signing-key.js';
import { SigningKeysRepository } from './signing-keys.repository.js';
import type { CreateSigningKey, SigningKeyQuery, SigningKeyView } from './signing-keys.schema.js';

/** The public keys by which releases are signed. The private ones never come here. */
@Injectable()
export class SigningKeysService {
  constructor(
    private readonly transactor: Transactor,
    private readonly keys: SigningKeysRepository,
    private readonly products: ProductsRepository,
    private readonly paging: Paging,
  ) {}

  /** @throws conflict `signing_key_exists`; invalid `invalid_request` */
  create(actor: Actor, input: z.infer<typeof CreateSigningKey>): Promise<SigningKeyView> {
    const { jwk: publicKey, thumbprint: keyId } = readKey(input.publicKey);
    return this.transactor.mutate(actor, async (tx) => {
      const productIds = input.products === undefined ? null : await this.productIds(tx, input.products);
      const key = await this.keys.insert(tx, { name: input.name, keyId, publicKey, productIds });
      if (key === null)
        throw conflict('signing_key_exists', 'This key is registered already, revoked or not.');
      return { result: view(key), events: [signingKeyCreated(key)] };
    });
  }

  /** @throws not_found */
  read(id: string): Promise<SigningKeyView> {
    return this.transactor.read(async (tx) => {
      const key = await this.keys.find(tx, id);
      if (key === null) throw noSuchSigningKey();
      return view(key);
    });
  }

  /** Newest first. */
  list(query: z.infer<typeof SigningKeyQuery>): Promise<Page<SigningKeyView>> {
    const { limit, cursor, ...filters } = query;
    const list = { kind: 'signing_keys', filters, limit, cursor };
    return this.transactor.read(async (tx) => {
      const rows = await this.keys.list(tx, filters, this.paging.after(list), limit);
      return this.paging.page(list, rows, (row) => [row.createdAt.toISOString(), row.id], view);
    });
  }

  /** Ends the key for ever: nothing that it has signed is published or approved any more. @throws not_found */
  revoke(actor: Actor, id: string, reason: string | null): Promise<SigningKeyView> {
    return this.transactor.mutate(actor, async (tx) => {
      const key = await this.keys.lock(tx, id);
      if (key === null) throw noSuchSigningKey();
      if (key.revokedAt !== null) return { result: view(key), unchanged: true };
      await this.keys.revoke(tx, id, reason);
      const revoked = { ...key, revokedAt: tx.now, revokedReason: reason };
      return { result: view(revoked), events: [signingKeyRevoked(key, tx.now, reason)] };
    });
  }

  private async productIds(tx: ReadTx, names: readonly string[]): Promise<string[]> {
    const ids = await this.products.idsOf(tx, names);
    const errors = names.flatMap((name, index) =>
      ids.has(name) ? [] : [{ pointer: `#/products/${index}`, message: 'There is no such product.' }],
    );
    if (errors.length > 0) throw invalid('invalid_request', 'A product does not exist.', { errors });
    return [...ids.values()];
  }
}

/** A point may have the right form and be none of the curve. */
function readKey(publicKey: unknown): NodeKey {
  try {
    return readNodeKey(publicKey);
  } catch (cause) {
    const errors = [{ pointer: '#/publicKey', message: 'Is no point that a key may be.' }];
    throw invalid('invalid_request', 'This is no public key.', { errors, cause });
  }
}

function view({ createdAt, revokedAt, ...key }: SigningKey): SigningKeyView {
  return {
    ...key,
    status: revokedAt === null ? 'active' : 'revoked',
    createdAt: createdAt.toISOString(),
    revokedAt: revokedAt?.toISOString() ?? null,
  };
}
