import { twoPartEtag } from '../../common/http/etag.js';
import type { Health, NodeView } from './nodes.schema.js';

/** A node as the read model's statement returns it. */
export interface NodeRow extends Omit<NodeView, 'lastSeenAt' | 'joinedAt' | 'health' | 'facts'> {
  health: Health;
  facts: Record<string, unknown>;
  lastSeenAt: Date | null;
  joinedAt: Date;
}

/** The node as the API shows it. */
export function nodeView(row: NodeRow): NodeView {
  return {
    ...row,
    facts: row.facts as NodeView['facts'],
    lastSeenAt: row.lastSeenAt?.toISOString() ?? null,
    joinedAt: row.joinedAt.toISOString(),
  };
}

/** `"<config>.<observed>"`: a heartbeat changes the second part alone, so that it stops no operator's change. */
export function nodeEtag(view: NodeView): string {
  const { name, groupId, labels, telemetryEnabled, membershipStatus, roles, ...observed } = view;
  return twoPartEtag(
    { nodeId: view.nodeId, name, groupId, labels, telemetryEnabled, membershipStatus, roles },
    observed,
  );
}
