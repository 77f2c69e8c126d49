import type { AuditEvent } from '../../common/audit/audit-event.js';
import { notFound } from '../../common/errors/domain-error.js';
import { canonicalJson } from '../../common/json/canonical-json.js';
import type { RoleName } from '../roles/role-catalogue.js';
import type { RouteOverlap, RoutePolicy } from './route-policy.js';

export type VpnKind = 'exit' | 'connector';
export type VpnDesiredState = 'enabled' | 'disabled';

/** When the lease goes back to a preferred node that has recovered. */
export type FailbackPolicy =
  | { mode: 'never' }
  /** After it has been well for so long; not sooner after the last change of owner either. */
  | { mode: 'after_stable_seconds'; seconds: number };

/** What operators say of a connection. The reference to its credentials is written beside it, and never read. */
export interface VpnConnectionSettings {
  name: string;
  /** null: of the platform. */
  organizationId: string | null;
  kind: VpnKind;
  desiredState: VpnDesiredState;
  leaseTtlSeconds: number;
  /** Sorted; none: no node may hold it. */
  allowedNodeIds: string[];
  /** The most preferred first; each is allowed. */
  preferredNodeIds: string[];
  failbackPolicy: FailbackPolicy;
  routePolicies: RoutePolicy[];
}

/** A VPN/IP tunnel that at most one node at a time runs. */
export interface VpnConnection extends VpnConnectionSettings {
  id: string;
  clusterId: string;
  hasCredentialRef: boolean;
  routeOverlaps: RouteOverlap[];
  createdAt: Date;
  updatedAt: Date;
}

/** What becomes of the reference to the credentials: a text sets it, null removes it, undefined leaves it. */
export type CredentialChange = string | null | undefined;

/** The role by which a node may hold a connection of the kind. */
export const ROLE_OF_KIND = { exit: 'vpn-exit', connector: 'vpn-connector' } as const satisfies Record<
  VpnKind,
  RoleName
>;

/** What the log says of the reference: that it was set, or taken away. */
interface CredentialMark {
  credentialRef?: 'set' | 'removed';
}
type Shape = VpnConnectionSettings & { hasCredentialRef: boolean };

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'vpn_connection.created': { before: null; after: Shape };
    'vpn_connection.updated': {
      before: Partial<VpnConnectionSettings>;
      after: Partial<VpnConnectionSettings> & CredentialMark;
    };
    'vpn_connection.deleted': { before: Shape; after: null };
  }
}

export function vpnConnectionCreated(connection: VpnConnection): AuditEvent {
  return { ...about(connection), action: 'vpn_connection.created', before: null, after: shape(connection) };
}

/** The event of changed settings, holding only what changed; null when nothing did. Who sets a reference always
 *  changes it: that it was the same before is nobody's to learn. */
export function vpnConnectionUpdated(
  connection: VpnConnection,
  next: VpnConnectionSettings,
  credential: CredentialChange,
): AuditEvent | null {
  const keys = (Object.keys(next) as (keyof VpnConnectionSettings)[]).filter(
    (key) => canonicalJson(next[key]) !== canonicalJson(connection[key]),
  );
  const mark = credentialMark(connection, credential);
  if (keys.length === 0 && mark.credentialRef === undefined) return null;
  const pick = (from: VpnConnectionSettings) => Object.fromEntries(keys.map((key) => [key, from[key]]));
  return {
    ...about(connection),
    action: 'vpn_connection.updated',
    before: pick(connection),
    after: { ...pick(next), ...mark },
  };
}

export function vpnConnectionDeleted(connection: VpnConnection): AuditEvent {
  return { ...about(connection), action: 'vpn_connection.deleted', before: shape(connection), after: null };
}

function credentialMark(connection: VpnConnection, credential: CredentialChange): CredentialMark {
  if (credential === undefined || (credential === null && !connection.hasCredentialRef)) return {};
  return { credentialRef: credential === null ? 'removed' : 'set' };
}

function about({ id, name, clusterId, organizationId }: VpnConnection) {
  const resource = { type: 'vpn_connection', id, name };
  return { resource, clusterId, organizationId, outcome: 'success', reason: null } as const;
}

/** The settings alone, whatever else the value has. */
export function settingsOf(connection: VpnConnectionSettings): VpnConnectionSettings {
  const { name, organizationId, kind, desiredState, leaseTtlSeconds } = connection;
  const { allowedNodeIds, preferredNodeIds, failbackPolicy, routePolicies } = connection;
  const who = { allowedNodeIds, preferredNodeIds, failbackPolicy };
  return { name, organizationId, kind, desiredState, leaseTtlSeconds, ...who, routePolicies };
}

function shape(connection: VpnConnection): Shape {
  return { ...settingsOf(connection), hasCredentialRef: connection.hasCredentialRef };
}

/** The same for what never was, what is gone, and what the caller may not know. */
export function noSuchConnection() {
  return notFound('not_found', 'There is no such VPN connection in this cluster.');
}
