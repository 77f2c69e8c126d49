import { Injectable } from '@nestjs/common';
import type { Actor } from '../../common/request/actor.js';
import type { Outcome } from '../../common/transaction/transactor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { NodesReadModel } from '../nodes/nodes.read-model.js';
import { ineligibleReasons } from './eligibility.js';
import { decisionTime, isInForce } from './lease.js';
import { LeaseHandoversService } from './lease-handovers.service.js';
import { isWell } from './lease-precedence.js';
import type { ConnectionState } from './lease-rows.js';
import { LeaseStandingsRepository } from './lease-standings.repository.js';
import { LeaseTransactions } from './lease-transactions.js';
import { LeasesRepository } from './leases.repository.js';
import { VpnCandidates } from './vpn-candidates.js';

/** What becomes of the leases of a node that is to go out of service. */
export type Evacuation =
  /** It holds none. */
  | { kind: 'clear' }
  /** Others have been asked to take over, until then. */
  | { kind: 'under_way'; until: Date }
  /** Somebody could take over, and cannot just now. */
  | { kind: 'waits' }
  /** Nobody else could hold a connection that it holds. */
  | { kind: 'no_candidate' };

/** Who goes out of service, and who is no candidate for the moment. */
export interface Evacuated {
  clusterId: string;
  nodeId: string;
  /** They are out of service themselves, or go before it. */
  avoid: ReadonlySet<string>;
}

/** Hands the leases of a node over, by plan, before it goes out of service. */
@Injectable()
export class LeaseEvacuations {
  constructor(
    private readonly transactor: Transactor,
    private readonly transactions: LeaseTransactions,
    private readonly leases: LeasesRepository,
    private readonly standings: LeaseStandingsRepository,
    private readonly candidates: VpnCandidates,
    private readonly nodes: NodesReadModel,
    private readonly handovers: LeaseHandoversService,
  ) {}

  /** Asks somebody for each lease that the node holds. Again it asks for those alone that nobody has been asked for.
   *  @throws unavailable */
  async evacuate(actor: Actor, who: Evacuated): Promise<Evacuation> {
    const held = await this.transactor.read((tx) => this.leases.heldBy(tx, who.clusterId, who.nodeId));
    const found: Evacuation[] = [];
    for (const connectionId of held)
      found.push(await this.transactions.atOnce(actor, (tx) => this.handOver(tx, connectionId, who)));
    return together(found);
  }

  private async handOver(tx: Tx, connectionId: string, who: Evacuated): Promise<Outcome<Evacuation>> {
    const found = (result: Evacuation) => ({ result, unchanged: true as const });
    const [state] = await this.leases.states(tx, [connectionId]);
    if (state === undefined) return found({ kind: 'clear' });
    const { connection, lease } = state;
    const now = decisionTime(state.clock, connection, lease);
    if (!isInForce(lease, now) || lease?.ownerNodeId !== who.nodeId) return found({ kind: 'clear' });
    const { reservedNodeId, reservedUntil } = connection;
    if (reservedNodeId !== null && reservedUntil !== null && reservedUntil > now)
      return found({ kind: 'under_way', until: reservedUntil });
    const able = await this.able(tx, state, who, now);
    const nodeId = able.find((each) => !who.avoid.has(each));
    if (nodeId === undefined) return found({ kind: able.length === 0 ? 'no_candidate' : 'waits' });
    const outcome = await this.handovers.failBack(tx, { clusterId: who.clusterId, connectionId, nodeId });
    const until = outcome.result?.reservedUntil ?? null;
    const result: Evacuation =
      until === null ? { kind: 'waits' } : { kind: 'under_way', until: new Date(until) };
    return 'events' in outcome ? { result, events: outcome.events } : found(result);
  }

  /** Who could hold the connection and is well, the most preferred first. */
  private async able(
    tx: ReadTx,
    { connection }: ConnectionState,
    { clusterId, nodeId }: Evacuated,
    now: Date,
  ): Promise<string[]> {
    const others = await this.standings.others(tx, connection.id, nodeId);
    const candidates = await this.candidates.of(tx, clusterId, others);
    const fares = await this.nodes.wellBeing(tx, clusterId, others);
    return others.filter(
      (other) =>
        isWell(fares.get(other)?.health) &&
        ineligibleReasons(connection, candidates(other, true), now).length === 0,
    );
  }
}

/** The leases of one node taken together: it goes when the last of them is settled, as far as any can be. */
function together(found: readonly Evacuation[]): Evacuation {
  if (found.some(({ kind }) => kind === 'waits')) return { kind: 'waits' };
  const until = found.flatMap((each) => (each.kind === 'under_way' ? [each.until.getTime()] : []));
  if (until.length > 0) return { kind: 'under_way', until: new Date(Math.max(...until)) };
  return found.find(({ kind }) => kind === 'no_candidate') ?? { kind: 'clear' };
}
