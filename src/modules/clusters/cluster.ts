import type { AuditEvent } from '../../common/audit/audit-event.js';
import { changedMembers } from '../../common/json/changed-members.js';

/** A bounded domain of control and trust. */
export interface Cluster {
  id: string;
  name: string;
  slug: string;
  status: ClusterStatus;
  region: string | null;
  labels: Record<string, string>;
  metadata: Record<string, unknown>;
  createdAt: Date;
  updatedAt: Date;
}

export type ClusterStatus = 'active' | 'archived';

/** What an operator may change of a cluster. */
export type ClusterSettings = Pick<Cluster, 'name' | 'region' | 'labels' | 'metadata'>;

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'cluster.created': { before: null; after: { name: string; slug: string } };
    'cluster.updated': { before: Partial<ClusterSettings>; after: Partial<ClusterSettings> };
    'cluster.archived': { before: { status: ClusterStatus }; after: { status: ClusterStatus } };
  }
}

const resource = ({ id, name }: Cluster) => ({ type: 'cluster', id, name });

export function clusterCreated(cluster: Cluster): AuditEvent {
  const { id, name, slug } = cluster;
  return {
    action: 'cluster.created',
    resource: resource(cluster),
    clusterId: id,
    outcome: 'success',
    reason: null,
    before: null,
    after: { name, slug },
  };
}

/** The event of a change of settings, holding only what changed; null when nothing did. */
export function clusterUpdated(cluster: Cluster, next: ClusterSettings): AuditEvent | null {
  const changed = changedMembers<ClusterSettings>(cluster, next);
  if (changed === null) return null;
  return {
    action: 'cluster.updated',
    resource: resource(cluster),
    clusterId: cluster.id,
    outcome: 'success',
    reason: null,
    ...changed,
  };
}

export function clusterArchived(cluster: Cluster): AuditEvent {
  return {
    action: 'cluster.archived',
    resource: resource(cluster),
    clusterId: cluster.id,
    outcome: 'success',
    reason: null,
    before: { status: cluster.status },
    after: { status: 'archived' },
  };
}
