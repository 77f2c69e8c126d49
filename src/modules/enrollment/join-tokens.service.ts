import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { Principal } from '../../common/auth/principal.js';
import { MasterKeyring } from '../../common/crypto/envelope.js';
import { keyedHash, keyedHashMatches } from '../../common/crypto/keyed-hash.js';
import { formatToken, newSecret, parseToken } from '../../common/crypto/secrets.js';
import { Database } from '../../common/database/database.js';
import { invalid, notFound } from '../../common/errors/domain-error.js';
import { twoPartEtag } from '../../common/http/etag.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { enterHighRisk } from '../access/high-risk.js';
import { requirePermission } from '../access/require-permission.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import { type JoinToken, joinTokenCreated, joinTokenRevoked } from './join-token.js';
import { JoinTokensRepository, type StatedJoinToken } from './join-tokens.repository.js';
import type {
  CreateJoinToken,
  IssuedJoinToken,
  JoinTokenQuery,
  JoinTokenView,
} from './join-tokens.schema.js';

const PURPOSE = 'join-token';

@Injectable()
export class JoinTokensService {
  constructor(
    private readonly transactor: Transactor,
    private readonly database: Database,
    private readonly joinTokens: JoinTokensRepository,
    private readonly members: MembershipsReadModel,
    private readonly keyring: MasterKeyring,
    private readonly paging: Paging,
  ) {}

  /**
   * Issues a token. The secret exists only in this result; the table keeps a keyed hash.
   * @throws forbidden, `high_risk_credential_required` (with autoApprove); invalid `group_not_found`
   */
  async create(
    principal: Principal,
    clusterId: string,
    input: z.infer<typeof CreateJoinToken>,
  ): Promise<IssuedJoinToken> {
    const { actor } = principal;
    const { expiresInSeconds, description = null, scope, autoApprove, maxUses } = input;
    if (autoApprove) requireAutoApprove(principal, clusterId);
    const secret = newSecret();
    return this.transactor.mutate(actor, async (tx) => {
      if (scope.groupId !== undefined && !(await this.members.hasGroup(tx, clusterId, scope.groupId)))
        throw noSuchGroup();
      const id = tx.newId();
      const text = formatToken('fjt', id, secret);
      const expiresAt = new Date(tx.now.getTime() + expiresInSeconds * 1000);
      const token: JoinToken = {
        id,
        clusterId,
        description,
        scope: present(scope),
        autoApprove,
        maxUses,
        usedCount: 0,
        createdBy: { type: actor.type, id: actor.id ?? actor.type },
        createdAt: tx.now,
        expiresAt,
        revokedAt: null,
      };
      await this.joinTokens.insert(tx, token, keyedHash(this.keyring.purposeKey(PURPOSE), text));
      const result = { ...view({ ...token, status: 'active' }), token: text };
      return { result, events: [joinTokenCreated(token)] };
    });
  }

  /** @throws not_found */
  get(clusterId: string, id: string): Promise<JoinTokenView> {
    return this.transactor.read(async (tx) => {
      const token = await this.joinTokens.find(tx, clusterId, id);
      if (token === null) throw noSuchToken();
      return view(token);
    });
  }

  /** Newest first. */
  list(clusterId: string, query: z.infer<typeof JoinTokenQuery>): Promise<Page<JoinTokenView>> {
    const { limit, cursor, status } = query;
    const list = { kind: 'join_tokens', filters: { clusterId, status }, limit, cursor };
    return this.transactor.read(async (tx) => {
      const rows = await this.joinTokens.list(tx, clusterId, status, this.paging.after(list), limit);
      return this.paging.page(list, rows, (row) => [row.createdAt.toISOString(), row.id], view);
    });
  }

  /** Ends a token; requests made with it stay for review. Again changes nothing. @throws not_found */
  revoke(actor: Actor, clusterId: string, id: string): Promise<JoinTokenView> {
    return this.transactor.mutate(actor, async (tx) => {
      const held = await this.joinTokens.lock(tx, id);
      const token = await this.joinTokens.find(tx, clusterId, id);
      if (held === null || token === null) throw noSuchToken();
      if (token.revokedAt !== null) return { result: view(token), unchanged: true };
      await this.joinTokens.revoke(tx, id);
      const result = view({ ...token, status: 'revoked', revokedAt: tx.now });
      return { result, events: [joinTokenRevoked(token, tx.now)] };
    });
  }

  /** The token that `text` is, unless nobody ever issued it. Says nothing about whether it is still good. */
  async identify(text: string): Promise<Pick<JoinToken, 'id' | 'clusterId' | 'autoApprove'> | null> {
    const parsed = parseToken(text);
    if (parsed === null || parsed.prefix !== 'fjt') return null;
    const token = await this.joinTokens.findPresented(
      (statement) => this.database.query(statement),
      parsed.id,
    );
    if (token === null || !keyedHashMatches(this.keyring.purposeKeys(PURPOSE), text, token.tokenHash))
      return null;
    return token;
  }
}

/** Uses and the clock change what a token is good for without changing the token. */
export function joinTokenEtag(shown: JoinTokenView & { token?: string }): string {
  const { status, usedCount, token: _once, ...config } = shown;
  return twoPartEtag(config, { status, usedCount });
}

function requireAutoApprove(principal: Principal, clusterId: string): void {
  enterHighRisk(principal);
  requirePermission(principal, 'join_tokens.auto_approve', clusterId, 'autoApprove');
}

function present(scope: z.infer<typeof CreateJoinToken>['scope']): JoinToken['scope'] {
  return Object.fromEntries(Object.entries(scope).filter(([, value]) => value !== undefined));
}

function view(token: StatedJoinToken): JoinTokenView {
  const { createdAt, expiresAt, revokedAt, ...rest } = token;
  return {
    ...rest,
    createdAt: createdAt.toISOString(),
    expiresAt: expiresAt.toISOString(),
    revokedAt: revokedAt?.toISOString() ?? null,
  };
}

function noSuchToken() {
  return notFound('not_found', 'There is no such join token in this cluster.');
}

function noSuchGroup() {
  const errors = [{ pointer: '#/scope/groupId', message: 'No such group in this cluster.' }];
  return invalid('group_not_found', 'The cluster has no such node group.', { errors });
}
