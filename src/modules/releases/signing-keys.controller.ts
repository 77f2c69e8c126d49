import { Body, Controller, Get, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { CurrentActor, PathId, ValidQuery } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import {
  CreateSigningKey,
  RevokeSigningKey,
  SigningKeyPage,
  SigningKeyQuery,
  SigningKeyView,
} from './signing-keys.schema.js';
import { SigningKeysService } from './signing-keys.service.js';

@ApiTags('Releases')
@Controller('api/v1/signing-keys')
export class SigningKeysController {
  constructor(private readonly keys: SigningKeysService) {}

  @Post()
  @Route({
    id: 'createSigningKey',
    summary: 'Register a public key that signs releases',
    description: 'A key counts once, under whatever name: the same one again is 409.',
    access: { permission: 'signing_keys.create' },
    highRisk: true,
    status: 201,
    body: CreateSigningKey,
    response: SigningKeyView,
    etag: contentEtag,
    problems: ['signing_key_exists'],
  })
  create(
    @CurrentActor() actor: Actor,
    @Body() body: z.infer<typeof CreateSigningKey>,
  ): Promise<SigningKeyView> {
    return this.keys.create(actor, body);
  }

  @Get()
  @Route({
    id: 'listSigningKeys',
    summary: 'List the keys that sign releases, newest first',
    access: { permission: 'signing_keys.read' },
    query: SigningKeyQuery,
    response: SigningKeyPage,
  })
  list(@ValidQuery() query: z.infer<typeof SigningKeyQuery>): Promise<Page<SigningKeyView>> {
    return this.keys.list(query);
  }

  @Get(':key')
  @Route({
    id: 'getSigningKey',
    summary: 'Read a key that signs releases',
    access: { permission: 'signing_keys.read' },
    response: SigningKeyView,
    etag: contentEtag,
  })
  get(@PathId('key') id: string): Promise<SigningKeyView> {
    return this.keys.read(id);
  }

  @Post(':key/revoke')
  @Route({
    id: 'revokeSigningKey',
    summary: 'Revoke a key that signs releases, for ever',
    description:
      'Nothing that needs its signature is published or approved any more. What is approved stays so until it is blocked.',
    access: { permission: 'signing_keys.revoke' },
    highRisk: true,
    body: RevokeSigningKey,
    bodyOptional: true,
    bodyExample: { reason: 'The laptop was stolen.' },
    response: SigningKeyView,
    etag: contentEtag,
  })
  revoke(
    @CurrentActor() actor: Actor,
    @PathId('key') id: string,
    @Body() { reason = null }: { reason?: string | null },
  ): Promise<SigningKeyView> {
    return this.keys.revoke(actor, id, reason);
  }
}
