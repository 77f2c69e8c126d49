import { Injectable, type OnModuleInit } from '@nestjs/common';
import { type Authentication, type Authenticator, Authenticators } from '../../common/auth/authenticators.js';
import type { NodePrincipal } from '../../common/auth/principal.js';
import type { Actor } from '../../common/request/actor.js';
import type { RequestContext } from '../../common/request/request-context.js';
import { AccessTokens } from './access-tokens.js';
import { letsIn, type NodeState } from './node-state.js';
import { NodeStates } from './node-states.js';

/** A node that is known without asking the database. */
export interface KnownNode extends NodePrincipal {
  /** Key of its principal. */
  key: string;
  state: NodeState;
}

/** Knows nodes by their access tokens. A revoked membership, and a revoked key, is refused at once, whatever its token says. */
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

  /** The live node whose token this is, where both are in memory; null: authenticate. */
  known(credential: string): KnownNode | null {
    const subject = this.tokens.known(credential);
    if (subject === null) return null;
    const { nodeId, clusterId, identityId } = subject;
    const state = this.states.known(clusterId, nodeId);
    if (!letsIn(state, identityId)) return null;
    return { nodeId, clusterId, identityId, key: keyOf(clusterId, nodeId), state };
  }

  async authenticate(credential: string, request: RequestContext): Promise<Authentication> {
    const subject = await this.tokens.verify(credential);
    if ('reason' in subject) return { refused: subject.reason };
    const { nodeId, clusterId, identityId } = subject;
    const state = await this.states.get(clusterId, nodeId);
    if (!letsIn(state, identityId)) return { refused: 'the membership or the identity is revoked' };
    const actor = nodeActor(nodeId, request);
    const key = keyOf(clusterId, nodeId);
    return {
      principal: {
        actor,
        key,
        bootstrap: false,
        highRisk: false,
        grants: [],
        node: { nodeId, clusterId, identityId },
      },
    };
  }
}

/** The node as the one who acts in a request. */
function nodeActor(nodeId: string, { ip, userAgent }: RequestContext): Actor {
  return { type: 'node', id: nodeId, displayName: nodeId, ip, userAgent };
}

function keyOf(clusterId: string, nodeId: string): string {
  return `node:${clusterId}:${nodeId}`;
}
