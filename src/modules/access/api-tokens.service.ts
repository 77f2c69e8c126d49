import { Inject, Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { CLUSTER_RESOLVER, type ClusterResolver } from '../../common/auth/cluster-resolver.js';
import type { Principal } from '../../common/auth/principal.js';
import { MasterKeyring } from '../../common/crypto/envelope.js';
import { keyedHash } from '../../common/crypto/keyed-hash.js';
import { formatToken, newSecret } from '../../common/crypto/secrets.js';
import { invalid, notFound } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import { isUuid } from '../../common/ids/uuid.js';
import { addressRangeText, readAddressRange } from '../../common/net/address-range.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { API_TOKEN_PURPOSE } from './api-token.authenticator.js';
import { type ApiToken, apiTokenCreated, apiTokenRevoked, apiTokenStatus } from './api-token.js';
import { ApiTokensRepository } from './api-tokens.repository.js';
import {
  type ApiTokenQuery,
  type ApiTokenView,
  apiTokenEtag,
  type CreateApiToken,
  type IssuedApiToken,
} from './api-tokens.schema.js';
import { grantRefusals, type WantedGrant } from './granting.js';
import { enterHighRisk } from './high-risk.js';

@Injectable()
export class ApiTokensService {
  constructor(
    private readonly transactor: Transactor,
    private readonly tokens: ApiTokensRepository,
    private readonly paging: Paging,
    private readonly keyring: MasterKeyring,
    @Inject(CLUSTER_RESOLVER) private readonly clusters: ClusterResolver,
  ) {}

  /**
   * Issues a token. The secret exists only in this result; the table keeps a keyed hash.
   * @throws forbidden `high_risk_credential_required`; invalid `permission_not_held`, or `invalid_request` for a
   * cluster that does not exist
   */
  async create(
    creator: Principal,
    input: z.infer<typeof CreateApiToken>,
  ): Promise<z.infer<typeof IssuedApiToken>> {
    const { name, expiresInSeconds, highRisk, allowedAddresses = [] } = input;
    if (highRisk) enterHighRisk(creator);
    const grant = await this.grantable(creator, input);
    const secret = newSecret();
    return this.transactor.mutate(creator.actor, async (tx) => {
      const id = tx.newId();
      const token = formatToken('fab', id, secret);
      const made = await this.tokens.insert(tx, {
        ...grant,
        id,
        name,
        permissions: [...new Set(grant.permissions)].sort(),
        organizationId: null,
        highRisk,
        allowedAddresses: [...new Set(allowedAddresses.map(canonicalRange))],
        tokenHash: keyedHash(this.keyring.purposeKey(API_TOKEN_PURPOSE), token),
        createdByType: creator.actor.type,
        createdById: creator.actor.id ?? creator.key,
        expiresAt:
          typeof expiresInSeconds === 'number' ? new Date(tx.now.getTime() + expiresInSeconds * 1000) : null,
      });
      return { result: { ...view(made, tx.now), token }, events: [apiTokenCreated(made)] };
    });
  }

  /** @throws not_found */
  get(id: string): Promise<ApiTokenView> {
    return this.transactor.read(async (tx) => {
      const token = isUuid(id) ? await this.tokens.find(tx, id) : null;
      if (token === null) throw noSuchToken();
      return view(token, tx.now);
    });
  }

  /** All tokens, dead ones too, newest first. */
  list({ limit, cursor, ...filter }: z.infer<typeof ApiTokenQuery>): Promise<Page<ApiTokenView>> {
    const list = { kind: 'api_tokens', filters: filter, limit, cursor };
    return this.transactor.read(async (tx) => {
      const rows = await this.tokens.list(tx, filter, this.paging.after(list), limit);
      const keyOf = (row: ApiToken) => [row.createdAt.toISOString(), row.id];
      return this.paging.page(list, rows, keyOf, (row) => view(row, tx.now));
    });
  }

  /** Ends a token at once and for ever; its row stays. Again: nothing happens. @throws not_found; stale */
  revoke(actor: Actor, id: string): Promise<void> {
    return this.transactor.mutate(actor, async (tx) => {
      const token = isUuid(id) ? await this.tokens.lock(tx, id) : null;
      if (token === null) throw noSuchToken();
      tx.requireMatch(apiTokenEtag(view(token, tx.now)));
      if (token.revokedAt !== null) return { result: undefined, unchanged: true };
      await this.tokens.revoke(tx, id);
      return { result: undefined, events: [apiTokenRevoked(token, tx.now)] };
    });
  }

  private async grantable(creator: Principal, input: z.infer<typeof CreateApiToken>): Promise<WantedGrant> {
    const { role = null, permissions = [], clusterId = null } = input;
    if (clusterId !== null && (await this.clusters.resolve(clusterId)) === null) {
      const errors = [{ pointer: '#/clusterId', message: 'There is no such cluster.' }];
      throw invalid('invalid_request', 'The token would be for a cluster that does not exist.', { errors });
    }
    const wanted = { role, permissions, clusterId };
    const refusals = grantRefusals(creator, wanted);
    if (refusals.length === 0) return wanted;
    throw invalid('permission_not_held', 'A token cannot hold more than whoever creates it.', {
      errors: refusals.map(({ pointer, message }) => ({ pointer, message })),
      extensions: { missing: [...new Set(refusals.flatMap(({ missing }) => missing))].sort() },
    });
  }
}

function view(token: ApiToken, now: Date): ApiTokenView {
  const { createdByType, createdById, createdAt, expiresAt, lastUsedAt, revokedAt, ...shown } = token;
  return {
    ...shown,
    status: apiTokenStatus(token, now),
    createdBy: { type: createdByType, id: createdById },
    createdAt: createdAt.toISOString(),
    expiresAt: expiresAt?.toISOString() ?? null,
    lastUsedAt: lastUsedAt?.toISOString() ?? null,
    revokedAt: revokedAt?.toISOString() ?? null,
  };
}

function canonicalRange(text: string): string {
  const range = readAddressRange(text);
  if ('fault' in range) throw new Error(`not a range: ${text}`);
  return addressRangeText(range);
}

function noSuchToken() {
  return notFound('not_found', 'There is no such API token.');
}
