import { Body, Controller, Get, Header, Inject, Post, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { z } from 'zod';
import { Route } from '../../common/http/operation.js';
import { CHALLENGE } from '../../common/http/problem-document.js';
import { contextOf } from '../../common/http/request-hooks.js';
import { WithStatus } from '../../common/http/with-status.js';
import { LOGGER } from '../../common/observability/logger.js';
import { type IssuedToken, NodeTokensService } from './node-tokens.service.js';
import { PlatformKeys } from './platform-keys.js';

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

const TokenRequest = z
  .looseObject({
    grant_type: z.string().optional().meta({ example: 'client_credentials' }),
    client_assertion_type: z.string().optional().meta({ example: ASSERTION_TYPE }),
    client_assertion: z.string().optional().meta({ example: 'eyJhbGciOiJFZERTQSJ9.e30.c2ln' }),
  })
  .meta({ id: 'TokenRequest' });

const TokenAnswer = z
  .object({ access_token: z.string(), token_type: z.literal('Bearer'), expires_in: z.int() })
  .meta({ id: 'TokenAnswer' });

const OAuthError = z
  .object({
    error: z.enum(['invalid_request', 'invalid_client', 'unsupported_grant_type']),
    error_description: z.string(),
  })
  .meta({ id: 'OAuthError' });
type OAuthError = z.infer<typeof OAuthError>;

const JwkSet = z.object({ keys: z.array(z.record(z.string(), z.json())) }).meta({ id: 'JwkSet' });

@ApiTags('Node agents')
@Controller()
export class NodeTokensController {
  constructor(
    private readonly tokens: NodeTokensService,
    private readonly keys: PlatformKeys,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  @Post('api/v1/node-agents/token')
  @Header('Cache-Control', 'no-store')
  @Route({
    id: 'issueNodeToken',
    summary: 'Exchange a client assertion for an access token (RFC 7523)',
    description:
      'OAuth 2.0 client credentials with `private_key_jwt`. Errors come in the form of RFC 6749 section 5.2. ' +
      'An `Idempotency-Key` is not looked at: an assertion is accepted once, and a repeat brings a new one.',
    access: 'public',
    mutates: false,
    body: TokenRequest,
    bodyOptional: true,
    bodyType: 'application/x-www-form-urlencoded',
    bodyExample: {
      grant_type: 'client_credentials',
      client_assertion_type: ASSERTION_TYPE,
      client_assertion: 'eyJhbGciOiJFZERTQSJ9.e30.c2ln',
    },
    response: TokenAnswer,
    responseExample: {
      access_token: 'eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.e30.c2ln',
      token_type: 'Bearer',
      expires_in: 900,
    },
    otherAnswers: [
      {
        status: 400,
        description: 'The form is not that of the grant.',
        response: OAuthError,
        example: { error: 'invalid_request', error_description: 'grant_type is missing.' },
      },
      {
        status: 401,
        description: 'The assertion does not prove that the caller is an enrolled node.',
        response: OAuthError,
        example: { error: 'invalid_client', error_description: 'The assertion is not valid.' },
      },
    ],
  })
  async issue(
    @Body() form: z.infer<typeof TokenRequest>,
    @Req() request: FastifyRequest,
  ): Promise<IssuedToken | WithStatus<OAuthError>> {
    const { grant_type, client_assertion_type, client_assertion } = form;
    if (grant_type === undefined) return oauthError(400, 'invalid_request', 'grant_type is missing.');
    if (grant_type !== 'client_credentials')
      return oauthError(400, 'unsupported_grant_type', 'grant_type must be client_credentials.');
    if (client_assertion_type !== ASSERTION_TYPE)
      return oauthError(400, 'invalid_request', `client_assertion_type must be ${ASSERTION_TYPE}.`);
    if (client_assertion === undefined)
      return oauthError(400, 'invalid_request', 'client_assertion is missing.');
    const answer = await this.tokens.exchange(client_assertion);
    if ('access_token' in answer) return answer;
    const { requestId, ip } = contextOf(request);
    this.logger.warn({ reason: answer.reason, requestId, ip }, 'node token refused');
    return oauthError(401, 'invalid_client', answer.description);
  }

  @Get('.well-known/jwks.json')
  @Route({
    id: 'getAccessTokenKeys',
    summary: 'The keys by which access tokens can be checked',
    access: 'public',
    response: JwkSet,
    responseExample: {
      keys: [
        {
          kty: 'OKP',
          crv: 'Ed25519',
          x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
          kid: 'k',
          alg: 'EdDSA',
          use: 'sig',
        },
      ],
    },
  })
  async jwks(): Promise<z.infer<typeof JwkSet>> {
    return (await this.keys.jwks()) as z.infer<typeof JwkSet>;
  }
}

function oauthError(
  status: number,
  error: OAuthError['error'],
  error_description: string,
): WithStatus<OAuthError> {
  const headers: Record<string, string> = status === 401 ? { 'WWW-Authenticate': CHALLENGE } : {};
  return new WithStatus(status, { error, error_description }, headers);
}
