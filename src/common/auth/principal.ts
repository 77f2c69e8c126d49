import type { Actor } from '../request/actor.js';
import type { Permission } from './permissions.js';

/** A set of permissions over a scope. */
export interface Grant {
  role: string | null;
  permissions: ReadonlySet<Permission>;
  /** null: the whole platform. */
  clusterId: string | null;
}

/** A node as it authenticated: one membership by one of its keys, and nothing else. */
export interface NodePrincipal {
  nodeId: string;
  clusterId: string;
  /** The identity whose key got the token. */
  identityId: string;
}

/** Who is calling, and what they may do. */
export interface Principal {
  actor: Actor;
  /** The scope of idempotency keys and rate limits. */
  key: string;
  bootstrap: boolean;
  /** Whether the credential was made for high-risk operations. */
  highRisk: boolean;
  grants: readonly Grant[];
  /** Set for nodes, which hold no grants. */
  node: NodePrincipal | null;
}

/** Whether `principal` holds `permission` over the cluster; with null, over the whole platform. */
export function holds(principal: Principal, permission: Permission, clusterId: string | null): boolean {
  return principal.grants.some(
    (grant) =>
      grant.permissions.has(permission) && (grant.clusterId === null || grant.clusterId === clusterId),
  );
}

/** Whether `principal` may know that the cluster exists: it holds anything at all over it. */
export function maySee(principal: Principal, clusterId: string): boolean {
  return principal.grants.some(
    (grant) => grant.permissions.size > 0 && (grant.clusterId === null || grant.clusterId === clusterId),
  );
}

/** The clusters over which `principal` holds `permission`; null means all of them. */
export function clustersWith(principal: Principal, permission: Permission): readonly string[] | null {
  const grants = principal.grants.filter((grant) => grant.permissions.has(permission));
  if (grants.some((grant) => grant.clusterId === null)) return null;
  return [...new Set(grants.flatMap((grant) => grant.clusterId ?? []))];
}

/** Every permission that `principal` holds over the cluster; with null, over the whole platform, sorted. */
export function permissionsOver(principal: Principal, clusterId: string | null): Permission[] {
  const grants = principal.grants.filter(
    (grant) => grant.clusterId === null || grant.clusterId === clusterId,
  );
  return [...new Set(grants.flatMap((grant) => [...grant.permissions]))].sort();
}
