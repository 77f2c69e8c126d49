import type { AuditEvent } from '../../common/audit/audit-event.js';

/** Deepest that groups may nest; a group without a parent is at depth 1. */
export const MAX_GROUP_DEPTH = 8;

/** A folder of a cluster's inventory. Not a permission: it says where a node is filed, not what it may do. */
export interface NodeGroup {
  id: string;
  clusterId: string;
  name: string;
  parentId: string | null;
  createdAt: Date;
  updatedAt: Date;
}

/** What an operator may change of a group. */
export type NodeGroupSettings = Pick<NodeGroup, 'name' | 'parentId'>;

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'node_group.created': { before: null; after: NodeGroupSettings };
    'node_group.updated': { before: Partial<NodeGroupSettings>; after: Partial<NodeGroupSettings> };
    'node_group.deleted': { before: NodeGroupSettings; after: null };
  }
}

/** Where a group would be put, with what the tree looks like there. */
export interface GroupPlacement {
  groupId: string;
  /** The new parent and all above it, from the nearest to the root; empty for a place at the root. */
  ancestorIds: readonly string[];
  /** Levels of the subtree that moves: 1 for a group without children. */
  height: number;
}

/** Why a group cannot be put there; null when it can. */
export function placementFault({
  groupId,
  ancestorIds,
  height,
}: GroupPlacement): 'group_cycle' | 'group_too_deep' | null {
  if (ancestorIds.includes(groupId)) return 'group_cycle';
  return ancestorIds.length + height > MAX_GROUP_DEPTH ? 'group_too_deep' : null;
}

const about = ({ id, clusterId, name }: NodeGroup) => ({
  resource: { type: 'node_group', id, name },
  clusterId,
  outcome: 'success' as const,
  reason: null,
});

export function nodeGroupCreated(group: NodeGroup): AuditEvent {
  const { name, parentId } = group;
  return { action: 'node_group.created', ...about(group), before: null, after: { name, parentId } };
}

/** The event of a rename or move, holding only what changed; null when nothing did. */
export function nodeGroupUpdated(group: NodeGroup, next: NodeGroupSettings): AuditEvent | null {
  const keys = (['name', 'parentId'] as const).filter((key) => next[key] !== group[key]);
  if (keys.length === 0) return null;
  const pick = (from: NodeGroupSettings) => Object.fromEntries(keys.map((key) => [key, from[key]]));
  return { action: 'node_group.updated', ...about(group), before: pick(group), after: pick(next) };
}

export function nodeGroupDeleted(group: NodeGroup): AuditEvent {
  const { name, parentId } = group;
  return { action: 'node_group.deleted', ...about(group), before: { name, parentId }, after: null };
}
