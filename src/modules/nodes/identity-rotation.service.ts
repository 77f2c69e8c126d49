import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { violates } from '../../common/database/postgres-errors.js';
import { conflict, type DomainError, invalid, unauthenticated } from '../../common/errors/domain-error.js';
import { ServiceAddress } from '../../common/http/service-address.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { type CurrentIdentity, IdentityRotationRepository } from './identity-rotation.repository.js';
import type { RotatedIdentity, RotateIdentity } from './identity-rotation.schema.js';
import { MembershipsRepository } from './memberships.repository.js';
import { identityRotated, ROTATION_OVERLAP_SECONDS, rotationVerdict } from './node-identity.js';
import { type NodeKey, readNodeKey } from './node-key.js';
import { innerFault, innerProof, type RotationFault } from './rotation-proof.js';

/** Changes the key of a node without enrolling it anew. */
@Injectable()
export class IdentityRotationService {
  constructor(
    private readonly transactor: Transactor,
    private readonly memberships: MembershipsRepository,
    private readonly identities: IdentityRotationRepository,
    private readonly address: ServiceAddress,
  ) {}

  /**
   * Replaces the key by which the node is known. The bearer token alone changes nothing: the old key asks for it, and
   * the new one shows that its holder is there. The same rotation again answers as it did before.
   * @throws invalid; unauthenticated `proof_invalid`; conflict `identity_already_rotated`, `key_already_enrolled`
   */
  async rotate(
    actor: Actor,
    { clusterId, nodeId }: NodePrincipal,
    { newPublicKey, proof }: z.infer<typeof RotateIdentity>,
  ): Promise<RotatedIdentity> {
    const newKey = readKey(newPublicKey);
    const acceptsAudience = (aud: string | readonly string[] | undefined) =>
      this.address.audience.accepts(aud);
    return this.transactor.mutate(actor, async (tx) => {
      const member = await this.memberships.lock(tx, clusterId, nodeId);
      const current = member === null ? null : await this.identities.current(tx, member);
      if (member === null || current === null) {
        throw unauthenticated('unauthenticated', 'The bearer token is not valid.', {
          reason: 'the node has no live identity',
        });
      }
      const now = await tx.clock();
      const opened = await openedBy(proof, current);
      if (opened === null) {
        const detail = 'The proof is not signed by the key of the node.';
        throw this.proofInvalid({ fault: 'signature', detail }, now);
      }
      const fault = await innerFault(opened.inner, { nodeId, clusterId, newKey, acceptsAudience, now });
      if (fault !== null) throw this.proofInvalid(fault, now);
      const { active, previous } = current;
      switch (rotationVerdict(opened.signer, active.keyThumbprint, newKey.thumbprint)) {
        case 'superseded':
          throw conflict('identity_already_rotated', 'This key was replaced by another one before.');
        case 'unchanged_key':
          throw taken();
        case 'repeated':
          return { result: answer(clusterId, nodeId, newKey, previous), unchanged: true };
        case 'rotate': {
          const validUntil = new Date(now.getTime() + ROTATION_OVERLAP_SECONDS * 1_000);
          try {
            await this.identities.rotate(tx, member, active, newKey, { now, validUntil });
          } catch (error) {
            if (violates(error, 'node_identities_key_is_unique')) throw taken(error);
            throw error;
          }
          return {
            result: answer(clusterId, nodeId, newKey, { ...active, validUntil }),
            events: [identityRotated(member, active, newKey.thumbprint, validUntil)],
          };
        }
      }
    });
  }

  private proofInvalid({ fault, detail }: RotationFault, now: Date): DomainError {
    return unauthenticated('proof_invalid', detail, {
      extensions: {
        serverTime: now.toISOString(),
        ...(fault === 'audience' && { expectedAudience: this.address.publicUrl }),
      },
      reason: `rotation proof: ${fault}`,
    });
  }
}

function readKey(jwk: unknown): NodeKey {
  try {
    return readNodeKey(jwk);
  } catch (error) {
    const errors = [{ pointer: '#/newPublicKey', message: 'Not a point on the curve that may be a key.' }];
    throw invalid('invalid_request', 'The new key is not usable.', { errors, cause: error });
  }
}

/** The inner JWS with whose key opened the outer one; null when neither does. */
async function openedBy(
  proof: string,
  { active, previous }: CurrentIdentity,
): Promise<{ signer: 'active' | 'previous'; inner: string } | null> {
  const inner = await innerProof(proof, readNodeKey(active.publicKey));
  if (inner !== null) return { signer: 'active', inner };
  if (previous === null) return null;
  const repeated = await innerProof(proof, readNodeKey(previous.publicKey));
  return repeated === null ? null : { signer: 'previous', inner: repeated };
}

function answer(
  clusterId: string,
  nodeId: string,
  newKey: NodeKey,
  previous: CurrentIdentity['previous'],
): RotatedIdentity {
  if (previous === null || previous.validUntil === null) throw new Error('the key before was not rotated');
  return {
    nodeId,
    clusterId,
    keyThumbprint: newKey.thumbprint,
    previousKeyThumbprint: previous.keyThumbprint,
    previousKeyValidUntil: previous.validUntil.toISOString(),
  };
}

function taken(cause?: unknown): DomainError {
  return conflict('key_already_enrolled', 'This key is, or was, the key of a node.', { cause });
}
