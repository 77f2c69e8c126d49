import { Body, Controller, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { CurrentActor, CurrentNode } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Actor } from '../../common/request/actor.js';
import { RotatedIdentity, RotateIdentity } from './identity-rotation.schema.js';
import { IdentityRotationService } from './identity-rotation.service.js';

@ApiTags('Node agents')
@Controller('api/v1/node-agents/me/identity')
export class IdentityRotationController {
  constructor(private readonly rotations: IdentityRotationService) {}

  @Post('rotate')
  @Route({
    id: 'rotateIdentity',
    summary: 'Replace the key of the node by another one',
    description:
      'The old key asks for it and the new one shows that its holder is there. Repeating the same rotation is safe: it answers as it did.',
    access: 'node',
    body: RotateIdentity,
    bodyExample: {
      newPublicKey: { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' },
      proof: 'eyJhbGciOiJFZERTQSJ9.ZXlKaGJHY2lPaUpGWkVSVFFTSjkuZTMwLmMybG4.c2ln',
    },
    response: RotatedIdentity,
    problems: ['cluster_archived', 'proof_invalid', 'identity_already_rotated', 'key_already_enrolled'],
  })
  rotate(
    @CurrentActor() actor: Actor,
    @CurrentNode() node: NodePrincipal,
    @Body() body: z.infer<typeof RotateIdentity>,
  ): Promise<RotatedIdentity> {
    return this.rotations.rotate(actor, node, body);
  }
}
