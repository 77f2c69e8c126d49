import { Injectable } from '@nestjs/common';
import { Database } from '../../common/database/database.js';
import { DomainError } from '../../common/errors/domain-error.js';
import type { Actor } from '../../common/request/actor.js';
import { currentRequest } from '../../common/request/request-context.js';
import type { Outcome } from '../../common/transaction/transactor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { AuthorityClaims } from '../authority/authority-claims.service.js';
import { AcquireGrounds } from './acquire-grounds.js';
import { isInForce, leaseHeld, termOfToken } from './lease.js';
import { type Acquired, type GrantAsk, LeaseGrants } from './lease-grants.js';
import { LeaseLapses } from './lease-lapses.js';
import type { LeaseLook } from './lease-rows.js';
import { LeaseTransactions } from './lease-transactions.js';
import { LeasesRepository } from './leases.repository.js';
import { type Answer, SharedLeaseCalls, sharableRequest } from './shared-lease-calls.js';
import { noSuchConnection } from './vpn-connection.js';

/** Takes the asks for leases. */
@Injectable()
export class LeaseAcquiresService {
  private readonly shared: SharedLeaseCalls<GrantAsk, Acquired>;

  constructor(
    private readonly database: Database,
    private readonly transactions: LeaseTransactions,
    private readonly leases: LeasesRepository,
    private readonly grounds: AcquireGrounds,
    private readonly grants: LeaseGrants,
    private readonly claims: AuthorityClaims,
    private readonly lapses: LeaseLapses,
  ) {
    this.shared = new SharedLeaseCalls({
      transactions,
      nameOf: ({ connectionId, nodeId }) => `${connectionId}/${nodeId}`,
      look: (clusterId, asks) => this.lookAtAll(clusterId, asks),
      decide: async (tx, clusterId, asks) => grants.giveAll(tx, await grounds.holdFree(tx, clusterId, asks)),
    });
  }

  /**
   * Gives the lease to the node, or tells the one that it has. Another's unexpired lease refuses without a lock. Asks of
   * nodes that come together are decided together.
   * @throws not_found; conflict by the rules of {@link requireAcquirable}; unavailable when too many want it
   */
  async acquire(actor: Actor, ask: GrantAsk): Promise<Acquired> {
    const request = ask.isOwn ? sharableRequest() : null;
    const shared = request === null ? null : await this.shared.make(request, actor, ask);
    if (shared !== null) return shared;
    // Sharing has looked, and has left the tokens that nobody knows.
    const isLooked = request !== null && ask.tokenSeen === null;
    const own = isLooked ? null : await this.lookAlone(ask);
    return own ?? this.acquireAlone(actor, ask);
  }

  /** After a look, which is taken again only after a wait: a crowd that waits must not crowd the pool with looks. */
  private acquireAlone(actor: Actor, ask: GrantAsk): Promise<Acquired> {
    const grant = (tx: Tx) => this.grant(tx, ask);
    if (isKeyed()) return this.transactions.run(actor, ask.connectionId, grant);
    const look = async () => void (await this.judge(ask, await this.see(ask)));
    return this.transactions.run(actor, ask.connectionId, grant, look);
  }

  private async lookAlone(ask: GrantAsk): Promise<Acquired | null> {
    const seen = await this.see(ask);
    await this.noteToken(ask, seen);
    return isKeyed() ? null : this.judge(ask, seen);
  }

  /** Who has seen a token that was never given out goes on alone: that is found out in a transaction of its own. */
  private async lookAtAll(
    clusterId: string,
    asks: readonly GrantAsk[],
  ): Promise<Map<GrantAsk, Answer<Acquired>>> {
    const looks = await this.leases.looks(this.query, clusterId, asks);
    const answers = new Map<GrantAsk, Answer<Acquired>>();
    for (const [at, ask] of asks.entries()) {
      const seen = looks[at] ?? null;
      const answer =
        unknownToken(ask, seen) !== null ? 'alone' : await this.judge(ask, seen).catch(asRefusal);
      if (answer === 'alone' || answer instanceof DomainError) answers.set(ask, answer);
      else if (answer !== null) answers.set(ask, { result: answer });
    }
    return answers;
  }

  private see({ clusterId, ...viewer }: GrantAsk): Promise<LeaseLook | null> {
    return this.leases.look(this.query, clusterId, viewer);
  }

  /** The lease where the node has it; null where it may be free. */
  private async judge(
    { clusterId, nodeId, isOwn }: GrantAsk,
    seen: LeaseLook | null,
  ): Promise<Acquired | null> {
    if (seen === null || (isOwn && !seen.isAllowed)) throw noSuchConnection();
    const { lease, now, reservedNodeId, reservedUntil } = seen;
    const reserved = { reservedNodeId, reservedUntil };
    if (lease !== null && isInForce(lease, now)) {
      if (lease.ownerNodeId !== nodeId) throw leaseHeld(lease);
      return { lease, reserved, now, isNew: false };
    }
    // It would go over to another node: is that one of many that have lapsed?
    if (seen.followsLapse) await this.lapses.lookBeforeTakeover(clusterId);
    return null;
  }

  private async grant(tx: Tx, ask: GrantAsk): Promise<Outcome<Acquired>> {
    const base = await this.grounds.hold(tx, ask);
    const decision = (await this.grants.giveAll(tx, new Map([[ask, base]]))).get(ask);
    if (decision === undefined) throw new Error('the ask was not decided');
    if (decision instanceof DomainError) throw decision;
    const {
      result,
      events: [first, ...others],
    } = decision;
    return first === undefined ? { result, unchanged: true } : { result, events: [first, ...others] };
  }

  /** A token that was never given out as far as this database knows is a sign that it has lost something. */
  private async noteToken(ask: GrantAsk, seen: LeaseLook | null): Promise<void> {
    const unknown = unknownToken(ask, seen);
    if (unknown === null) return;
    const { clusterId, connectionId, nodeId } = ask;
    const { tokenSeen, lastToken } = unknown;
    const evidence = { connectionId, tokenSeen, lastToken };
    const claimedTerm = termOfToken(tokenSeen);
    await this.claims.claimed({ clusterId, nodeId, claimedTerm, source: 'fencing_token', evidence });
  }

  private get query(): ReadTx['query'] {
    return (statement) => this.database.queryPrepared(statement);
  }
}

/** A repeat by its key is answered as it was, so that it must get to the transaction that knows the key. */
function isKeyed(): boolean {
  return currentRequest()?.idempotency != null;
}

interface UnknownToken {
  tokenSeen: number;
  lastToken: number;
}

/** The token that the node has seen and nobody has given out. Who may not know the connection has seen nothing of it. */
function unknownToken({ tokenSeen }: GrantAsk, seen: LeaseLook | null): UnknownToken | null {
  if (tokenSeen === null || seen === null || !seen.isAllowed || tokenSeen <= seen.lastToken) return null;
  return { tokenSeen, lastToken: seen.lastToken };
}

function asRefusal(error: unknown): DomainError {
  if (error instanceof DomainError) return error;
  throw error;
}
