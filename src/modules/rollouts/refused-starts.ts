import { Injectable } from '@nestjs/common';
import type { DomainError } from '../../common/errors/domain-error.js';
import { systemActor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { DecisionsRepository } from './decisions.repository.js';
import { about, isDueToStart } from './rollout.js';
import { RolloutEngine } from './rollout-engine.js';

const RULE = 'start_refused';

/** Says why a rollout whose time has come does not start: once for each reason, however often it is tried. */
@Injectable()
export class RefusedStarts {
  constructor(
    private readonly transactor: Transactor,
    private readonly engine: RolloutEngine,
    private readonly decisions: DecisionsRepository,
  ) {}

  /** Whether that has been said before. */
  note(clusterId: string, id: string, { code, message }: DomainError): Promise<boolean> {
    return this.transactor.observe(systemActor('rollouts'), async (tx) => {
      const held = await this.engine.hold(tx, clusterId, id);
      if (held === null || !isDueToStart(held.rollout, tx.now)) return { result: false };
      const { rollout } = held;
      const [last] = await this.decisions.list(tx, id, null, 1);
      if (last?.rule === RULE && last.reason === code) return { result: true };
      const { state } = rollout;
      const inputs = { startAt: rollout.strategy.startAt, message };
      const decision = { rule: RULE, wave: null, fromState: state, toState: state, reason: code, inputs };
      await this.decisions.add(tx, tx.actor, id, decision);
      const after = { code, message };
      return {
        result: false,
        events: [{ ...about(rollout), action: 'rollout.start_refused', before: null, after }],
      };
    });
  }
}
