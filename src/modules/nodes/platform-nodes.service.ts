import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import { notFound } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { MembershipStatus } from './membership.js';
import { MembershipsService } from './memberships.service.js';
import { type PlatformNode, PlatformNodesRepository } from './platform-nodes.repository.js';
import type { PlatformNodeQuery, PlatformNodeView } from './platform-nodes.schema.js';

/** A host for whoever decides about one more membership of it. */
export interface HeldNode {
  machineId: string | null;
  memberships: { clusterId: string; membershipStatus: MembershipStatus }[];
}

/** The physical hosts across clusters, for those who hold the whole platform. */
@Injectable()
export class PlatformNodesService {
  constructor(
    private readonly transactor: Transactor,
    private readonly platformNodes: PlatformNodesRepository,
    private readonly memberships: MembershipsService,
    private readonly paging: Paging,
  ) {}

  /** @throws not_found */
  get(id: string): Promise<PlatformNodeView> {
    return this.transactor.read((tx) => this.show(tx, id));
  }

  /** Newest first. */
  list({ limit, cursor, ...selection }: z.infer<typeof PlatformNodeQuery>): Promise<Page<PlatformNodeView>> {
    const list = { kind: 'platform_nodes', filters: selection, limit, cursor };
    const after = this.paging.after(list);
    return this.transactor.read(async (tx) => {
      const rows = await this.platformNodes.list(tx, selection, after, limit);
      const memberships = await this.platformNodes.memberships(
        tx,
        rows.map((row) => row.id),
      );
      const keyOf = (row: PlatformNode) => [row.createdAt.toISOString(), row.id];
      return this.paging.page(list, rows, keyOf, (row) => view(row, memberships.get(row.id) ?? []));
    });
  }

  /** Ends every membership of the host at once, for ever. A repeat changes nothing.
   *  @throws not_found; conflict `role_minimum_violated` for the first cluster that would fall below one */
  revoke(
    actor: Actor,
    id: string,
    { reason, force }: { reason: string; force: boolean },
  ): Promise<PlatformNodeView> {
    return this.transactor.mutate(actor, async (tx) => {
      if ((await this.platformNodes.lock(tx, id)) === null) throw noSuchNode();
      const events: AuditEvent[] = [];
      for (const { clusterId } of await this.platformNodes.statuses(tx, id)) {
        const event = await this.memberships.end(tx, clusterId, id, reason, force);
        if (event !== null) events.push(event);
      }
      const result = await this.show(tx, id);
      const [first, ...others] = events;
      return first === undefined ? { result, unchanged: true } : { result, events: [first, ...others] };
    });
  }

  /** The host with what it is in each cluster; until the transaction ends it neither joins nor ends in another. */
  async hold(tx: Tx, id: string): Promise<HeldNode | null> {
    const node = await this.platformNodes.lock(tx, id);
    if (node === null) return null;
    return { machineId: node.machineId, memberships: await this.platformNodes.statuses(tx, id) };
  }

  private async show(tx: ReadTx, id: string): Promise<PlatformNodeView> {
    const node = await this.platformNodes.find(tx, id);
    if (node === null) throw noSuchNode();
    return view(node, (await this.platformNodes.memberships(tx, [id])).get(id) ?? []);
  }
}

function view(node: PlatformNode, memberships: PlatformNodeView['memberships']): PlatformNodeView {
  return { ...node, createdAt: node.createdAt.toISOString(), memberships };
}

function noSuchNode() {
  return notFound('not_found', 'There is no such node.');
}
