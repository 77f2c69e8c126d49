import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { PolicyReadModel } from '../clusters/policy.read-model.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import type { JoinRequest } from './join-request.js';
import { type JoinRequestWarning, joinRequestWarnings } from './join-request-warnings.js';
import { JoinTokensRepository } from './join-tokens.repository.js';

/** Gathers what a reviewer should know of join requests, a page of them at a time. */
@Injectable()
export class JoinRequestReviews {
  constructor(
    private readonly joinTokens: JoinTokensRepository,
    private readonly members: MembershipsReadModel,
    private readonly policies: PolicyReadModel,
  ) {}

  /** The warnings of requests of one cluster, by request id. */
  async warnings(
    tx: ReadTx,
    clusterId: string,
    requests: readonly JoinRequest[],
  ): Promise<Map<string, JoinRequestWarning[]>> {
    if (requests.length === 0) return new Map();
    const machineIds = requests.flatMap((request) => machineIdOf(request) ?? []);
    const identities = await this.members.identitiesByKeys(
      tx,
      requests.map((request) => request.nodeFingerprint),
    );
    const machines = await this.members.findByMachineIds(tx, machineIds);
    const names = await this.members.findByNames(
      tx,
      clusterId,
      requests.map((request) => request.nodeName),
    );
    const scopes = await this.joinTokens.scopes(
      tx,
      requests.map((request) => request.tokenId),
    );
    const { capabilityPolicy, agentVersionPolicy } = await this.policies.get(tx, clusterId);
    const deniedCapabilities = capabilityPolicy.denied ?? [];
    const around = (request: JoinRequest) => ({
      keyEnrolledIn: identities
        .filter((each) => each.thumbprint === request.nodeFingerprint)
        .map((each) => each.clusterId),
      sameMachine: machines.filter((each) => each.machineId === machineIdOf(request)),
      nameTaken: names.some((each) => each.name === request.nodeName),
      deniedCapabilities,
      scopeRoles: scopes.get(request.tokenId)?.roles,
      agentVersionPolicy,
    });
    return new Map(requests.map((request) => [request.id, joinRequestWarnings(request, around(request))]));
  }
}

function machineIdOf({ reportedFacts }: JoinRequest): string | null {
  return typeof reportedFacts.machineId === 'string' ? reportedFacts.machineId : null;
}
