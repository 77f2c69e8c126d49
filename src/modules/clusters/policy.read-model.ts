import { Injectable } from '@nestjs/common';
import { notFound } from '../../common/errors/domain-error.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { PolicyRepository } from './policy.repository.js';
import type { PolicyView } from './policy.schema.js';

/** A cluster's policy, for whoever decides by it inside a transaction. */
@Injectable()
export class PolicyReadModel {
  constructor(private readonly policies: PolicyRepository) {}

  /** @throws not_found */
  async get(tx: ReadTx, clusterId: string): Promise<PolicyView> {
    const policy = await this.policies.find(tx, clusterId);
    if (policy === null) throw noSuchCluster();
    return policy;
  }

  /** How many approvals a rollout needs, by cluster. */
  async approvalsAsked(tx: ReadTx, clusterIds: readonly string[]): Promise<Map<string, number>> {
    if (clusterIds.length === 0) return new Map();
    const rows = await this.policies.approvalsAsked(tx, clusterIds);
    return new Map(rows.map(({ clusterId, rolloutApprovals }) => [clusterId, rolloutApprovals]));
  }

  /** The policy, unchanged until the transaction ends. @throws not_found */
  async hold(tx: Tx, clusterId: string): Promise<PolicyView> {
    const policy = await this.policies.hold(tx, clusterId);
    if (policy === null) throw noSuchCluster();
    return policy;
  }
}

function noSuchCluster() {
  return notFound('not_found', 'There is no such cluster.');
}
