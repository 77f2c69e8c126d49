import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import type { Authentication, Authenticator } from '../../common/auth/authenticators.js';
import type { Principal } from '../../common/auth/principal.js';
import { MasterKeyring } from '../../common/crypto/envelope.js';
import { keyedHashMatches } from '../../common/crypto/keyed-hash.js';
import { parseToken } from '../../common/crypto/secrets.js';
import { Database } from '../../common/database/database.js';
import type { Sql } from '../../common/database/sql.js';
import { isInRanges } from '../../common/net/address-range.js';
import { LOGGER } from '../../common/observability/logger.js';
import type { RequestContext } from '../../common/request/request-context.js';
import { type ApiToken, apiTokenStatus } from './api-token.js';
import { ApiTokensRepository } from './api-tokens.repository.js';
import { effectiveGrant } from './granting.js';

/** The purpose of the keys under which API tokens are hashed. */
export const API_TOKEN_PURPOSE = 'api-token';

/** Knows scripts by their API tokens. Each request asks the database: a revoked token is dead everywhere at once. */
@Injectable()
export class ApiTokenAuthenticator implements Authenticator {
  private readonly query = <T>(statement: Sql): Promise<T[]> => this.database.query<T>(statement);

  constructor(
    private readonly database: Database,
    private readonly tokens: ApiTokensRepository,
    private readonly keyring: MasterKeyring,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  accepts(credential: string): boolean {
    return credential.startsWith('fab_');
  }

  async authenticate(credential: string, request: RequestContext): Promise<Authentication> {
    const parsed = parseToken(credential);
    if (parsed === null) return { unknown: 'not an API token: its form or checksum is wrong' };
    const token = await this.tokens.findPresented(this.query, parsed.id);
    if (token === null) return { unknown: `there is no API token ${parsed.id}` };
    if (!keyedHashMatches(this.keyring.purposeKeys(API_TOKEN_PURPOSE), credential, token.tokenHash)) {
      return { unknown: `wrong secret for the API token ${token.id}` };
    }
    const status = apiTokenStatus(token, token.now);
    if (status !== 'active') return { refused: `the API token ${token.id} is ${status}` };
    if (token.allowedAddresses.length > 0 && !isInRanges(request.ip, token.allowedAddresses)) {
      return { refused: `the API token ${token.id} may not be used from ${request.ip}` };
    }
    if (token.isUseDue) this.noteUse(token.id);
    return { principal: principalOf(token, request) };
  }

  /** Nobody waits for it, and a request never fails by it. */
  private noteUse(id: string): void {
    this.tokens.noteUse(this.query, id).catch((error: unknown) => {
      this.logger.warn({ err: error, apiTokenId: id }, 'the last use of an API token was not noted');
    });
  }
}

function principalOf(token: ApiToken, { ip, userAgent }: RequestContext): Principal {
  return {
    actor: { type: 'api_token', id: token.id, displayName: token.name, ip, userAgent },
    key: `api_token:${token.id}`,
    bootstrap: false,
    highRisk: token.highRisk,
    grants: [effectiveGrant(token)],
    node: null,
  };
}
