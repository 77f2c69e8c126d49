import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { Principal } from '../../common/auth/principal.js';
import { conflict, notFound } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { enterHighRisk } from '../access/high-risk.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import { MembershipsService } from '../nodes/memberships.service.js';
import { RolesReadModel } from '../roles/roles.read-model.js';
import { checkConfig } from './service-configs.js';
import {
  type DesiredWorkload,
  type Workload,
  type WorkloadKey,
  workloadDeleted,
  workloadPut,
} from './workload.js';
import { mayBeWanted } from './workload-cover.js';
import { WorkloadObstacles } from './workload-obstacles.js';
import { workloadEtag, workloadView } from './workload-view.js';
import { type WorkloadFilter, WorkloadsRepository } from './workloads.repository.js';
import type { NodeWorkloadQuery, PutWorkload, WorkloadQuery, WorkloadView } from './workloads.schema.js';

/** What operators want to run on nodes, shown beside what the agents report. */
@Injectable()
export class WorkloadsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly workloads: WorkloadsRepository,
    private readonly obstacles: WorkloadObstacles,
    private readonly memberships: MembershipsService,
    private readonly members: MembershipsReadModel,
    private readonly roles: RolesReadModel,
    private readonly paging: Paging,
  ) {}

  /**
   * Says what is wanted of a workload; the same again changes nothing. Puts of one node wait for each other.
   * @throws not_found; stale; conflict `role_required`, `membership_revoked`; invalid for a configuration that does not
   * fit; forbidden `high_risk_credential_required` where it is privileged
   */
  put(
    principal: Principal,
    key: WorkloadKey,
    input: PutWorkload,
  ): Promise<{ view: WorkloadView; isNew: boolean }> {
    const desired = desiredWorkload(input);
    if (desired.privileged) enterHighRisk(principal);
    checkConfig(key.serviceType, desired.config);
    return this.transactor.mutate(principal.actor, async (tx) => {
      await this.memberships.lockMember(tx, key.clusterId, key.nodeId);
      const before = await this.find(tx, key);
      tx.requireMatch(before === null ? null : workloadEtag(before.view));
      await this.requireRole(tx, key);
      const event = workloadPut(key, before?.workload.desired ?? null, desired);
      if (event === null)
        return { result: { view: await this.show(tx, key), isNew: false }, unchanged: true };
      await this.workloads.put(tx, key, desired);
      tx.touch(key.clusterId, [key.nodeId]);
      const isNew = event.action === 'workload.created';
      return { result: { view: await this.show(tx, key), isNew }, events: [event] };
    });
  }

  /** Nobody wants it any more; while the agent still reports it, it is shown as not desired.
   *  @throws not_found, also for one that nobody wanted; stale */
  delete(actor: Actor, key: WorkloadKey): Promise<void> {
    return this.transactor.mutate(actor, async (tx) => {
      await this.memberships.lockMember(tx, key.clusterId, key.nodeId);
      const found = await this.find(tx, key);
      if (found === null || found.workload.desired === null) throw noSuchWorkload();
      tx.requireMatch(workloadEtag(found.view));
      await this.workloads.withdraw(tx, key);
      tx.touch(key.clusterId, [key.nodeId]);
      return { result: undefined, events: [workloadDeleted(key, found.workload.desired)] };
    });
  }

  /** @throws not_found */
  get(key: WorkloadKey): Promise<WorkloadView> {
    return this.transactor.read((tx) => this.show(tx, key));
  }

  /** The workloads of one node, newest first. @throws not_found for a node that is no member and never was */
  listOfNode(
    clusterId: string,
    nodeId: string,
    query: z.infer<typeof NodeWorkloadQuery>,
  ): Promise<Page<WorkloadView>> {
    return this.transactor.read(async (tx) => {
      const [member] = await this.members.forSnapshots(tx, clusterId, [nodeId]);
      if (member === undefined) throw notFound('not_found', 'The cluster has no such node.');
      return this.page(tx, 'node_workloads', clusterId, { ...query, nodeId });
    });
  }

  /** The workloads of a cluster, newest first. */
  list(clusterId: string, query: z.infer<typeof WorkloadQuery>): Promise<Page<WorkloadView>> {
    return this.transactor.read((tx) => this.page(tx, 'workloads', clusterId, query));
  }

  private async page(
    tx: ReadTx,
    kind: string,
    clusterId: string,
    { limit, cursor, ...filter }: WorkloadFilter & { limit: number; cursor?: string | undefined },
  ): Promise<Page<WorkloadView>> {
    const list = { kind, filters: { clusterId, ...filter }, limit, cursor };
    const rows = await this.workloads.list(tx, clusterId, filter, this.paging.after(list), limit);
    const obstacle = await this.obstacles.among(
      tx,
      clusterId,
      rows.map(({ nodeId }) => nodeId),
    );
    return this.paging.page(
      list,
      rows,
      ({ createdAt, nodeId, serviceType }) => [createdAt.toISOString(), nodeId, serviceType],
      (row) => workloadView(row, obstacle(row.nodeId, row.serviceType)),
    );
  }

  private async show(tx: ReadTx, key: WorkloadKey): Promise<WorkloadView> {
    const found = await this.find(tx, key);
    if (found === null) throw noSuchWorkload();
    return found.view;
  }

  private async find(
    tx: ReadTx,
    key: WorkloadKey,
  ): Promise<{ workload: Workload; view: WorkloadView } | null> {
    const workload = await this.workloads.find(tx, key);
    if (workload === null) return null;
    const { clusterId, nodeId, serviceType } = key;
    const obstacle = await this.obstacles.among(tx, clusterId, [nodeId]);
    return { workload, view: workloadView(workload, obstacle(nodeId, serviceType)) };
  }

  private async requireRole(tx: Tx, { clusterId, nodeId, serviceType }: WorkloadKey): Promise<void> {
    const grants = await this.roles.forNodes(tx, clusterId, [nodeId]);
    if (mayBeWanted(serviceType, grants.get(nodeId) ?? [], tx.now)) return;
    throw conflict('role_required', `The node has no active role that covers ${serviceType}.`);
  }
}

function desiredWorkload(input: PutWorkload): DesiredWorkload {
  const { version = null, config = {}, secretRefs = {}, healthCheck = null, ...rest } = input;
  return { ...rest, version, config, secretRefs, healthCheck };
}

function noSuchWorkload() {
  return notFound('not_found', 'The node has no such workload.');
}
