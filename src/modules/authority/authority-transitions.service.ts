import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { malformed, notFound } from '../../common/errors/domain-error.js';
import { declaredOperations, type Operation, operationById } from '../../common/http/operation.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { type Authority, authorityView } from './authority.js';
import type { AuthorityView } from './authority.schema.js';
import { AuthorityService } from './authority.service.js';
import { explainOperation, isGuarded } from './authority-explanation.js';
import { authorityTransitioned, moved } from './authority-transition.js';
import { AuthorityTransitionsRepository } from './authority-transitions.repository.js';
import type { AuthorityExplanation, AuthorityTransition } from './authority-transitions.schema.js';
import { PartitionsRepository } from './partitions.repository.js';

/** Moves the authority of clusters, and says what it lets through. */
@Injectable()
export class AuthorityTransitionsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly authorities: AuthorityService,
    private readonly transitions: AuthorityTransitionsRepository,
    private readonly partitions: PartitionsRepository,
  ) {}

  /** @throws not_found; conflict `authority_term_conflict`, `authority_transition_invalid` */
  move(
    actor: Actor,
    clusterId: string,
    { to, reason, expectedTerm }: z.infer<typeof AuthorityTransition>,
  ): Promise<AuthorityView> {
    return this.transactor.mutate(actor, async (tx) => {
      const current = await this.transitions.lock(tx, clusterId);
      if (current === null) throw notFound('not_found', 'There is no such cluster.');
      const next = moved(current, { to, expectedTerm });
      if (next === null) return { result: authorityView(current), unchanged: true };
      // Whoever moves on has seen what was found, and decides.
      if (next.state !== 'partitioned' && next.state !== 'fenced')
        await this.partitions.resolve(tx, clusterId);
      const authority = await this.transitions.move(tx, current, next);
      // The term stands in every snapshot; the state in none.
      if (next.term !== current.term) tx.touch(clusterId, 'shared');
      return { result: authorityView(authority), events: [authorityTransitioned(current, next, reason)] };
    });
  }

  /** What the authority would say to one operation, or to each that it guards.
   *  @throws not_found; malformed `invalid_parameter` for an operation that there is not */
  async explain(clusterId: string, operationId: string | undefined): Promise<AuthorityExplanation> {
    const operations = operationId === undefined ? guardedOperations() : [known(operationId)];
    const authority: Authority = await this.authorities.get(clusterId);
    const { state, term } = authority;
    return { state, term, items: operations.map((operation) => explainOperation(operation, authority)) };
  }
}

function guardedOperations(): readonly Operation[] {
  return declaredOperations().filter(isGuarded);
}

function known(operationId: string): Operation {
  const operation = operationById(operationId);
  if (operation !== undefined) return operation;
  throw malformed('invalid_parameter', 'There is no operation with this id.', {
    errors: [{ parameter: 'operation', message: 'No operation of the OpenAPI document has this id.' }],
  });
}
