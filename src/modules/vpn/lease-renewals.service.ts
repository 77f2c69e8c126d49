import { Injectable } from '@nestjs/common';
import { Counter } from 'prom-client';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import type { CausedEvent } from '../../common/audit/audit-writer.js';
import { Batches } from '../../common/batching/batches.js';
import { Database } from '../../common/database/database.js';
import { Metrics } from '../../common/observability/metrics.js';
import { type Actor, systemActor } from '../../common/request/actor.js';
import { currentRequest, runOutsideRequests } from '../../common/request/request-context.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { decisionTime, isHolder, isInForce, type Lease, leaseLost, renewed } from './lease.js';
import { leaseRenewed } from './lease-events.js';
import { LeaseExpiry } from './lease-expiry.js';
import { LeaseTransactions } from './lease-transactions.js';
import { LeasesRepository } from './leases.repository.js';
import type { Reserved } from './leases.schema.js';
import { noSuchConnection } from './vpn-connection.js';

/** A holder that names its lease by the token. */
export interface HolderAsk {
  clusterId: string;
  connectionId: string;
  nodeId: string;
  fencingToken: number;
}

/** A lease with a later end. */
export interface Renewed {
  lease: Lease;
  reserved: Reserved;
  now: Date;
}

/** What a node asks, and by which request. */
interface Call extends HolderAsk {
  requestId: string | null;
}

/** Renewals of locked connections, and the ends of leases that were found over meanwhile, by connection. */
interface Decided {
  renewals: Map<string, Renewed>;
  ends: Map<string, AuditEvent[]>;
}

/** `busy`: somebody else is at the connection; whoever asks waits for it alone. */
type BatchResult = Renewed | 'busy';

/** Renewals that wait this long, in milliseconds, share one commit. */
const GATHER_MS = 4;
const BATCH = 500;
/** Batches on their way at a time, so that renewals leave the pool to others. */
const MAX_WRITES = 4;
const MAX_WAITING = 20_000;

/**
 * Moves the end of leases. Renewals of nodes share commits: a batch locks the connections that are free, in the order
 * of their ids, reads the leases and the time after that, and decides each by the rule. It waits for no lock, so that one
 * connection at which somebody is busy holds up nobody else's renewal.
 */
@Injectable()
export class LeaseRenewals {
  private readonly batches: Batches<Call, BatchResult>;
  private readonly counter: Counter<'outcome'>;

  constructor(
    private readonly transactor: Transactor,
    private readonly transactions: LeaseTransactions,
    private readonly leases: LeasesRepository,
    private readonly expiry: LeaseExpiry,
    private readonly database: Database,
    metrics: Metrics,
  ) {
    this.batches = new Batches<Call, BatchResult>({
      keyOf: ({ connectionId }) => connectionId,
      write: (calls) => runOutsideRequests(() => this.renewAll(calls)),
      gatherMs: GATHER_MS,
      size: BATCH,
      maxWrites: MAX_WRITES,
      maxWaiting: MAX_WAITING,
    });
    this.counter = new Counter({
      name: 'fabric_vpn_lease_renewals_total',
      help: 'Renewals of leases by nodes, by what came of them.',
      labelNames: ['outcome'],
      registers: [metrics.registry],
    });
  }

  /** By the node itself: durable when answered. @throws not_found; conflict `lease_lost`; unavailable */
  async renewOwn(ask: HolderAsk): Promise<Renewed> {
    const batched = await this.batches.add({ ...ask, requestId: currentRequest()?.requestId ?? null });
    const renewal = batched === 'busy' ? await this.renewAlone(ask) : batched;
    this.counter.inc({ outcome: renewal === null ? 'lost' : 'renewed' });
    if (renewal !== null) return renewal;
    await this.refuse(ask);
    throw leaseLost();
  }

  /** By somebody else for the holder; that is audited. @throws not_found; conflict `lease_lost`; unavailable */
  async renewFor(actor: Actor, ask: HolderAsk): Promise<Renewed> {
    return this.expiry.refusing(ask, (found) =>
      this.transactions.run(actor, ask.connectionId, async (tx) => {
        if (!(await this.leases.lock(tx, ask.clusterId, ask.connectionId))) throw noSuchConnection();
        const [state] = await this.leases.states(tx, [ask.connectionId]);
        if (state === undefined || state.lease === null) throw leaseLost();
        const { connection, lease: before, clock } = state;
        const now = decisionTime(clock, connection, before);
        found(before, now);
        if (!isHolder(before, ask, now)) throw leaseLost();
        const lease = renewed(before, now, connection.leaseTtlSeconds);
        await this.leases.renewAll(tx, [lease]);
        const result = { lease, reserved: connection, now };
        return { result, events: [leaseRenewed(connection, before, lease)] };
      }),
    );
  }

  private async renewAll(calls: readonly Call[]): Promise<ReadonlyMap<string, BatchResult>> {
    const actor = systemActor('vpn-leases');
    const work = async (tx: Tx) => {
      const free = await this.leases.lockFree(
        tx,
        calls.map(({ connectionId }) => connectionId),
      );
      const { renewals, ends } = await this.renewLocked(tx, calls, free);
      const results = new Map<string, BatchResult>(renewals);
      const isFree = new Set(free);
      const caused: CausedEvent[] = [];
      for (const { connectionId, requestId } of calls) {
        if (!isFree.has(connectionId)) results.set(connectionId, 'busy');
        const by = { actor, requestId, highRisk: false };
        caused.push(...(ends.get(connectionId) ?? []).map((event) => ({ event, by })));
      }
      return { result: results, caused };
    };
    return this.transactor.observe(actor, work, { prepares: true });
  }

  /** Waits for the lock; null when the lease is lost. */
  private renewAlone(ask: HolderAsk): Promise<Renewed | null> {
    const { clusterId, connectionId } = ask;
    return this.transactions.observe(connectionId, async (tx) => {
      if (!(await this.leases.lock(tx, clusterId, connectionId))) return { result: null };
      const { renewals, ends } = await this.renewLocked(tx, [ask], [connectionId]);
      return { result: renewals.get(connectionId) ?? null, events: ends.get(connectionId) ?? [] };
    });
  }

  /**
   * Decides by what is read after the locks, the time too. What it finds over it writes down at once: who is told so
   * must not see it live again when the clock steps back.
   */
  private async renewLocked(tx: Tx, asks: readonly HolderAsk[], locked: readonly string[]): Promise<Decided> {
    const renewals = new Map<string, Renewed>();
    const overAt = new Map<string, Date>();
    if (locked.length === 0) return { renewals, ends: new Map() };
    const byConnection = new Map(asks.map((ask) => [ask.connectionId, ask]));
    for (const { lease, leaseTtlSeconds, now, ...reserved } of await this.leases.renewable(tx, locked)) {
      const ask = byConnection.get(lease.connectionId);
      if (ask === undefined || lease.clusterId !== ask.clusterId) continue;
      if (!isInForce(lease, now)) overAt.set(lease.connectionId, now);
      if (!isHolder(lease, ask, now)) continue;
      renewals.set(lease.connectionId, { lease: renewed(lease, now, leaseTtlSeconds), reserved, now });
    }
    if (renewals.size > 0)
      await this.leases.renewAll(
        tx,
        [...renewals.values()].map(({ lease }) => lease),
      );
    return { renewals, ends: await this.endOver(tx, overAt) };
  }

  private async endOver(tx: Tx, overAt: ReadonlyMap<string, Date>): Promise<Map<string, AuditEvent[]>> {
    const ends = new Map<string, AuditEvent[]>();
    if (overAt.size === 0) return ends;
    for (const state of await this.leases.states(tx, [...overAt.keys()])) {
      const { id } = state.connection;
      ends.set(id, await this.expiry.endOver(tx, state, overAt.get(id) ?? tx.now));
    }
    return ends;
  }

  /** @throws not_found where the node may not know the connection */
  private async refuse({ clusterId, connectionId, nodeId }: HolderAsk): Promise<void> {
    const query: ReadTx['query'] = (statement) => this.database.queryPrepared(statement);
    const seen = await this.leases.look(query, clusterId, { connectionId, nodeId });
    if (seen === null || !seen.isAllowed) throw noSuchConnection();
  }
}
