import { Injectable, type OnModuleInit } from '@nestjs/common';
import { type Authentication, type Authenticator, Authenticators } from '../../common/auth/authenticators.js';
import type { RequestContext } from '../../common/request/request-context.js';
import { AccessTokens } from './access-tokens.js';
import { NodeStates } from './node-states.js';

/** Knows nodes by their access tokens. A revoked membership is refused at once, whatever its token says. */
@Injectable()
export class NodeAuthenticator implements Authenticator, OnModuleInit {
  constructor(
    private readonly authenticators: Authenticators,
    private readonly tokens: AccessTokens,
    private readonly states: NodeStates,
  ) {}

  onModuleInit(): void {
    this.authenticators.add(this);
  }

  accepts(credential: string): boolean {
    return this.tokens.isAccessToken(credential);
  }

  async authenticate(credential: string, request: RequestContext): Promise<Authentication> {
    const subject = await this.tokens.verify(credential);
    if ('reason' in subject) return { refused: subject.reason };
    const { nodeId, clusterId } = subject;
    const state = await this.states.get(clusterId, nodeId);
    if (state === null || state.membershipStatus === 'revoked')
      return { refused: 'the membership is revoked' };
    const actor = {
      type: 'node' as const,
      id: nodeId,
      displayName: nodeId,
      ip: request.ip,
      userAgent: request.userAgent,
    };
    const key = `node:${clusterId}:${nodeId}`;
    return {
      principal: { actor, key, bootstrap: false, highRisk: false, grants: [], node: { nodeId, clusterId } },
    };
  }
}
