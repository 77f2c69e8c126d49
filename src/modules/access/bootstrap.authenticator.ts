import { createHash, timingSafeEqual } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { Authentication, Authenticator } from '../../common/auth/authenticators.js';
import { OWNER_ROLE } from '../../common/auth/permissions.js';
import { RUNTIME, type Runtime } from '../../common/config/runtime.js';
import type { RequestContext } from '../../common/request/request-context.js';
import { effectiveGrant } from './granting.js';

/** Knows the first platform owner by the bootstrap token. It may have any form, so this is asked before all others. */
@Injectable()
export class BootstrapAuthenticator implements Authenticator {
  /** null: there is no such token. */
  private readonly digest: Buffer | null;

  constructor(@Inject(RUNTIME) { bootstrapToken }: Pick<Runtime, 'bootstrapToken'>) {
    this.digest = bootstrapToken === null ? null : sha256(Buffer.from(bootstrapToken, 'utf8'));
  }

  /** Only the token itself, compared in a time that depends on no byte of it. */
  accepts(credential: string): boolean {
    // Node reads each byte of a header as one character.
    return this.digest !== null && timingSafeEqual(sha256(Buffer.from(credential, 'latin1')), this.digest);
  }

  async authenticate(_credential: string, { ip, userAgent }: RequestContext): Promise<Authentication> {
    return {
      principal: {
        actor: { type: 'bootstrap', id: 'bootstrap', displayName: 'Bootstrap token', ip, userAgent },
        key: 'bootstrap',
        bootstrap: true,
        highRisk: true,
        grants: [effectiveGrant({ role: OWNER_ROLE, permissions: [], clusterId: null })],
        node: null,
      },
    };
  }
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}
