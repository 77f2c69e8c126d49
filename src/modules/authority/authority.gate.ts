import { Injectable } from '@nestjs/common';
import { conflict, notFound } from '../../common/errors/domain-error.js';
import { operationById } from '../../common/http/operation.js';
import type { RequestContext } from '../../common/request/request-context.js';
import type { TransactionGate } from '../../common/transaction/ports.js';
import type { Tx } from '../../common/transaction/tx.js';
import { requireKnownServer } from './authority.js';
import { AuthorityRepository } from './authority.repository.js';

/**
 * Stands at the door of every transaction that a request addressed to a cluster opens: an archived cluster takes no
 * change, and one without authority none that spreads trust. Locks both facts, so that they hold until the commit.
 */
@Injectable()
export class AuthorityGate implements TransactionGate {
  constructor(private readonly authorities: AuthorityRepository) {}

  async enter(tx: Tx, request: RequestContext): Promise<void> {
    if (request.clusterId === null) return;
    // Taken at once in the strength that is needed: two that shared it and then wanted more would block each other.
    const alone = operationById(request.operationId ?? '')?.holdsClusterAlone === true;
    const held = await this.authorities.hold(tx, request.clusterId, request.guardedByAuthority, alone);
    if (held === null) throw notFound('not_found', 'There is no such cluster.');
    if (held.status === 'archived')
      throw conflict('cluster_archived', 'The cluster is archived and takes no changes.');
    requireKnownServer(held);
    if (request.guardedByAuthority && held.state !== 'authoritative') {
      throw conflict(
        'cluster_not_authoritative',
        `The cluster is ${held.state}: nothing that spreads trust may change.`,
        {
          extensions: { authorityState: held.state },
        },
      );
    }
  }
}
