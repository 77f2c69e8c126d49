import { Injectable } from '@nestjs/common';
import { contentEtag } from '../../common/http/etag.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { platformPolicyUpdated } from './platform-policy.js';
import { PlatformPolicyRepository } from './platform-policy.repository.js';
import type { PlatformPolicyView } from './platform-policy.schema.js';

/** What holds for the whole platform. */
@Injectable()
export class PlatformPolicyService {
  constructor(
    private readonly transactor: Transactor,
    private readonly policy: PlatformPolicyRepository,
  ) {}

  read(): Promise<PlatformPolicyView> {
    return this.transactor.read((tx) => this.get(tx));
  }

  /** For whoever decides by it inside a transaction. */
  get(tx: ReadTx): Promise<PlatformPolicyView> {
    return this.policy.find(tx);
  }

  /** Replaces the whole policy. @throws stale */
  replace(actor: Actor, next: PlatformPolicyView): Promise<PlatformPolicyView> {
    return this.transactor.mutate(actor, async (tx) => {
      const current = await this.policy.lock(tx);
      tx.requireMatch(contentEtag(current));
      const event = platformPolicyUpdated(current, next);
      if (event === null) return { result: current, unchanged: true };
      await this.policy.update(tx, next);
      return { result: next, events: [event] };
    });
  }
}
