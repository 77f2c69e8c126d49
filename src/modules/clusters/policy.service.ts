import { Injectable } from '@nestjs/common';
import { notFound } from '../../common/errors/domain-error.js';
import { contentEtag } from '../../common/http/etag.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { CapabilityPolicyChanged } from './cluster-events.js';
import { changesCapabilities, changesSnapshots, policyUpdated } from './policy.js';
import { PolicyReadModel } from './policy.read-model.js';
import { PolicyRepository } from './policy.repository.js';
import type { PolicyView } from './policy.schema.js';

@Injectable()
export class PolicyService {
  constructor(
    private readonly transactor: Transactor,
    private readonly policies: PolicyRepository,
    private readonly readModel: PolicyReadModel,
  ) {}

  /** @throws not_found */
  read(clusterId: string): Promise<PolicyView> {
    return this.transactor.read((tx) => this.readModel.get(tx, clusterId));
  }

  /** Replaces the whole policy. @throws stale */
  replace(actor: Actor, clusterId: string, next: PolicyView): Promise<PolicyView> {
    return this.transactor.mutate(actor, async (tx) => {
      const current = await this.policies.lock(tx, clusterId);
      if (current === null) throw notFound('not_found', 'There is no such cluster.');
      tx.requireMatch(contentEtag(current));
      const event = policyUpdated(clusterId, current, next);
      if (event === null) return { result: current, unchanged: true };
      await this.policies.update(tx, clusterId, next);
      const changesRoles = changesCapabilities(current, next);
      if (changesRoles) await tx.raise(new CapabilityPolicyChanged(clusterId));
      if (changesSnapshots(current, next)) tx.touch(clusterId, changesRoles ? 'all' : 'shared');
      return { result: next, events: [event] };
    });
  }
}
