import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { type InputFault, invalid } from '../../common/errors/domain-error.js';
import { contentEtag } from '../../common/http/etag.js';
import { mergePatch } from '../../common/http/merge-patch.js';
import { checkMerged } from '../../common/http/merged.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { MembershipsService } from '../nodes/memberships.service.js';
import { LeaseKeeper } from './lease-keeper.js';
import { canonicalRoutes, overlapMessage, type RoutePolicy } from './route-policy.js';
import {
  noSuchConnection,
  settingsOf,
  type VpnConnection,
  type VpnConnectionSettings,
  vpnConnectionCreated,
  vpnConnectionDeleted,
  vpnConnectionUpdated,
} from './vpn-connection.js';
import { VpnConnectionsRepository } from './vpn-connections.repository.js';
import {
  type CreateVpnConnection,
  FailbackPolicyInput,
  type PatchVpnConnection,
  type VpnConnectionQuery,
  type VpnConnectionView,
} from './vpn-connections.schema.js';

type Patch = z.infer<typeof PatchVpnConnection>;
type SettingsPatch = Omit<Patch, 'credentialRef'>;

/** What operators say of VPN connections. */
@Injectable()
export class VpnConnectionsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly connections: VpnConnectionsRepository,
    private readonly memberships: MembershipsService,
    private readonly keeper: LeaseKeeper,
    private readonly paging: Paging,
  ) {}

  /** @throws invalid `node_not_member`, `invalid_request` */
  create(
    actor: Actor,
    clusterId: string,
    input: z.infer<typeof CreateVpnConnection>,
  ): Promise<VpnConnectionView> {
    const { credentialRef = null, failbackPolicy, routePolicies, ...rest } = input;
    const settings: VpnConnectionSettings = {
      ...rest,
      organizationId: rest.organizationId?.toLowerCase() ?? null,
      allowedNodeIds: sortedIds(rest.allowedNodeIds ?? []),
      preferredNodeIds: uniqueIds(rest.preferredNodeIds ?? []),
      failbackPolicy: readFailback(failbackPolicy ?? { mode: 'never' }),
      routePolicies: canonicalRoutes((routePolicies ?? []) as RoutePolicy[]),
    };
    checkPreferred(settings);
    return this.transactor.mutate(actor, async (tx) => {
      await this.holdMembers(tx, clusterId, settings.allowedNodeIds, {
        names: input.allowedNodeIds ?? [],
        pointer: '#/allowedNodeIds',
        known: [],
      });
      const id = await this.connections.insert(tx, clusterId, settings, credentialRef);
      tx.touch(clusterId, settings.allowedNodeIds);
      const connection = await this.get(tx, clusterId, id);
      return { result: view(connection), events: [vpnConnectionCreated(connection)] };
    });
  }

  /** @throws not_found */
  read(clusterId: string, id: string): Promise<VpnConnectionView> {
    return this.transactor.read(async (tx) => view(await this.get(tx, clusterId, id)));
  }

  /** Newest first. */
  list(clusterId: string, query: z.infer<typeof VpnConnectionQuery>): Promise<Page<VpnConnectionView>> {
    const { limit, cursor, ...filter } = query;
    const list = { kind: 'vpn_connections', filters: { clusterId, ...filter }, limit, cursor };
    return this.transactor.read(async (tx) => {
      const rows = await this.connections.list(tx, clusterId, filter, this.paging.after(list), limit);
      return this.paging.page(list, rows, (row) => [row.createdAt.toISOString(), row.id], view);
    });
  }

  /**
   * Changes what the patch names. @param pointer of the member by which the nodes were sent
   * @throws not_found; stale; invalid `node_not_member`, `invalid_request`
   */
  patch(
    actor: Actor,
    clusterId: string,
    id: string,
    { credentialRef, ...patch }: Patch,
    pointer = '#/allowedNodeIds',
  ): Promise<VpnConnectionView> {
    return this.transactor.mutate(actor, async (tx) => {
      await this.connections.beginChange(tx, id);
      const connection = await this.get(tx, clusterId, id);
      tx.requireMatch(contentEtag(view(connection)));
      const next = patched(connection, patch);
      const event = vpnConnectionUpdated(connection, next, credentialRef);
      if (event === null) return { result: view(connection), unchanged: true };
      const names = patch.allowedNodeIds ?? [];
      const known = connection.allowedNodeIds;
      const concerned = sortedIds([...known, ...next.allowedNodeIds]);
      await this.holdMembers(tx, clusterId, concerned, { names, pointer, known });
      await this.connections.lock(tx, id);
      await this.keeper.fit(tx, id, next);
      await this.connections.update(tx, connection, next, credentialRef);
      tx.touch(clusterId, concerned);
      return { result: view(await this.get(tx, clusterId, id)), events: [event] };
    });
  }

  /** Ends the connection with its lease, for ever. @throws not_found; stale */
  delete(actor: Actor, clusterId: string, id: string): Promise<void> {
    return this.transactor.mutate(actor, async (tx) => {
      await this.connections.beginChange(tx, id);
      const connection = await this.get(tx, clusterId, id);
      tx.requireMatch(contentEtag(view(connection)));
      const nodeIds = connection.allowedNodeIds;
      await this.memberships.hold(tx, clusterId, nodeIds, 'to_change');
      await this.connections.lock(tx, id);
      await this.keeper.fit(tx, id, null);
      await this.connections.delete(tx, connection);
      tx.touch(clusterId, nodeIds);
      return { result: undefined, events: [vpnConnectionDeleted(connection)] };
    });
  }

  private async get(tx: ReadTx, clusterId: string, id: string): Promise<VpnConnection> {
    const connection = await this.connections.find(tx, clusterId, id);
    if (connection === null) throw noSuchConnection();
    return connection;
  }

  /** Locks the members, before the connection is, and refuses newly named ones that are none. */
  private async holdMembers(
    tx: Tx,
    clusterId: string,
    nodeIds: readonly string[],
    sent: { names: readonly string[]; pointer: string; known: readonly string[] },
  ): Promise<void> {
    const members = await this.memberships.hold(tx, clusterId, nodeIds, 'to_change');
    const live = members.filter(({ membershipStatus }) => membershipStatus !== 'revoked');
    const fine = new Set([...live.map(({ nodeId }) => nodeId), ...sent.known]);
    const errors = sent.names.flatMap((nodeId, index) =>
      fine.has(nodeId.toLowerCase())
        ? []
        : [{ pointer: `${sent.pointer}/${index}`, message: 'No live member of this cluster.' }],
    );
    if (errors.length > 0)
      throw invalid('node_not_member', 'A node has no live membership in this cluster.', { errors });
  }
}

function patched(connection: VpnConnection, patch: SettingsPatch): VpnConnectionSettings {
  const merged = mergePatch(settingsOf(connection), patch) as VpnConnectionSettings;
  const next = {
    ...merged,
    organizationId: merged.organizationId?.toLowerCase() ?? null,
    allowedNodeIds: sortedIds(merged.allowedNodeIds),
    preferredNodeIds: uniqueIds(merged.preferredNodeIds),
    failbackPolicy: readFailback(merged.failbackPolicy),
    routePolicies: canonicalRoutes(merged.routePolicies),
  };
  // Who takes a node from the list without a word about preferences takes it from both.
  if (patch.preferredNodeIds === undefined)
    next.preferredNodeIds = next.preferredNodeIds.filter((nodeId) => next.allowedNodeIds.includes(nodeId));
  checkPreferred(next);
  return next;
}

/** A policy that says `never` has no seconds, whatever it was merged with. */
function readFailback(policy: z.infer<typeof FailbackPolicyInput>): VpnConnectionSettings['failbackPolicy'] {
  const { mode, seconds } = policy;
  if (mode === 'never') return { mode };
  checkMerged(FailbackPolicyInput, 'failbackPolicy', policy);
  return { mode, seconds: Number(seconds) };
}

function checkPreferred({ allowedNodeIds, preferredNodeIds }: VpnConnectionSettings): void {
  const errors: InputFault[] = preferredNodeIds.flatMap((nodeId, index) =>
    allowedNodeIds.includes(nodeId)
      ? []
      : [{ pointer: `#/preferredNodeIds/${index}`, message: 'Not among the allowed nodes.' }],
  );
  if (errors.length > 0)
    throw invalid('invalid_request', 'A preferred node must be an allowed one.', { errors });
}

function view(connection: VpnConnection): VpnConnectionView {
  const { id, clusterId, hasCredentialRef, createdAt, updatedAt } = connection;
  return {
    id,
    clusterId,
    ...settingsOf(connection),
    hasCredentialRef,
    warnings: warningsOf(connection),
    createdAt: createdAt.toISOString(),
    updatedAt: updatedAt.toISOString(),
  };
}

function warningsOf(connection: VpnConnection): VpnConnectionView['warnings'] {
  const { allowedNodeIds, routePolicies, routeOverlaps } = connection;
  const overlaps = routeOverlaps.map((overlap) => ({
    code: 'routes_overlap' as const,
    pointer: `#/routePolicies/${overlap.position}`,
    message: overlapMessage(routePolicies, overlap),
  }));
  if (allowedNodeIds.length > 0) return overlaps;
  const message = 'No node is allowed, so that no node can hold the connection.';
  return [{ code: 'no_allowed_nodes', pointer: '#/allowedNodeIds', message }, ...overlaps];
}

function uniqueIds(ids: readonly string[]): string[] {
  return [...new Set(ids.map((id) => id.toLowerCase()))];
}

function sortedIds(ids: readonly string[]): string[] {
  return uniqueIds(ids).sort();
}
