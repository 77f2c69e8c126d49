import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { notFound } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { AcquireGrounds } from './acquire-grounds.js';
import { explainAcquire, owns } from './acquire-rules.js';
import { decisionTime, isInForce, type Lease, leaseAt } from './lease.js';
import type { LeasedConnection } from './lease-rows.js';
import { LeasesRepository } from './leases.repository.js';
import { type AcquireExplanation, type LeaseQuery, type LeaseView, leaseView } from './leases.schema.js';
import { noSuchConnection } from './vpn-connection.js';

/** Shows leases as they are at the instant of reading, whatever has been written down. */
@Injectable()
export class LeasesService {
  constructor(
    private readonly transactor: Transactor,
    private readonly leases: LeasesRepository,
    private readonly grounds: AcquireGrounds,
    private readonly paging: Paging,
  ) {}

  /** The lease that is in force; of one node only, where it is named. @throws not_found */
  active(clusterId: string, connectionId: string, nodeId: string | null = null): Promise<LeaseView> {
    return this.transactor.read(async (tx) => {
      const { connection, lease, now } = await this.state(tx, clusterId, connectionId);
      const isOther = nodeId !== null && lease?.ownerNodeId !== nodeId;
      if (lease === null || !isInForce(lease, now) || isOther)
        throw notFound('not_found', 'The connection has no active lease.');
      return leaseView(lease, now, connection);
    });
  }

  /** All owner periods, the newest first. @throws not_found */
  list(
    clusterId: string,
    connectionId: string,
    { limit, cursor }: z.infer<typeof LeaseQuery>,
  ): Promise<Page<LeaseView>> {
    const list = { kind: 'vpn_leases', filters: { clusterId, connectionId }, limit, cursor };
    return this.transactor.read(async (tx) => {
      const { connection, now } = await this.state(tx, clusterId, connectionId);
      const rows = await this.leases.list(tx, connectionId, this.paging.after(list), limit);
      const keyOf = ({ fencingToken }: Lease) => [fencingToken];
      return this.paging.page(list, rows, keyOf, (lease) => leaseView(leaseAt(lease, now), now, connection));
    });
  }

  /** One owner period. @throws not_found */
  get(clusterId: string, connectionId: string, leaseId: string): Promise<LeaseView> {
    return this.transactor.read(async (tx) => {
      const { connection, now } = await this.state(tx, clusterId, connectionId);
      const lease = await this.leases.find(tx, connectionId, leaseId);
      if (lease === null) throw notFound('not_found', 'The connection never had such a lease.');
      return leaseView(leaseAt(lease, now), now, connection);
    });
  }

  /** What acquire would say to the node, rule by rule. @throws not_found */
  explain(clusterId: string, connectionId: string, nodeId: string): Promise<AcquireExplanation> {
    return this.transactor.read(async (tx) => {
      await this.state(tx, clusterId, connectionId);
      const { ground } = await this.grounds.look(tx, { clusterId, connectionId, nodeId, tokenSeen: null });
      const verdicts = explainAcquire(ground);
      const holdsLease = owns(ground);
      const broken = verdicts.find(({ passed }) => !passed);
      return {
        nodeId,
        mayAcquire: holdsLease || broken === undefined,
        holdsLease,
        code: holdsLease ? null : (broken?.code ?? null),
        rules: verdicts.map(({ until, ...verdict }) => ({ ...verdict, until: until?.toISOString() ?? null })),
        reasons: [...ground.ineligible],
        serverTime: ground.now.toISOString(),
      };
    });
  }

  private async state(
    tx: ReadTx,
    clusterId: string,
    connectionId: string,
  ): Promise<{ connection: LeasedConnection; lease: Lease | null; now: Date }> {
    const [state] = await this.leases.states(tx, [connectionId]);
    if (state === undefined || state.connection.clusterId !== clusterId || state.connection.isDeleted)
      throw noSuchConnection();
    return { ...state, now: decisionTime(tx.now, state.connection, state.lease) };
  }
}
