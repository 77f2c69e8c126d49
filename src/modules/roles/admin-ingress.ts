import type { Health } from '../nodes/nodes.schema.js';
import { condition, type RoleCondition } from './role-condition.js';

/** The role that serves a cluster's own admin endpoint; it gives something only while all is well around it. */
export const ADMIN_INGRESS = 'admin-ingress';

/** What is known around a node that has the role, at one instant. */
export interface AdminIngressFacts {
  clusterId: string;
  nodeId: string;
  authorityState: string;
  /** Whether the cluster has a key that signs its snapshots. */
  isSigning: boolean;
  /** Of the node's snapshot as it should be. */
  generation: number;
  generationChangedAt: Date;
  /** As the node last said; null: it never has. */
  appliedGeneration: number | null;
  /** How long a node may be silent before it is stale, and so how long it may take to follow a new generation. */
  patienceSeconds: number;
  /** When its certificate ends; null: it has none that counts. */
  certificateEndsAt: Date | null;
  health: Health;
  /** Wanted roles of the cluster that are effective on too few nodes, this role apart. */
  rolesMissing: readonly string[];
}

const CURRENT: readonly Health[] = ['online', 'degraded'];

/**
 * The conditions of "Admin Endpoint Placement" (specification, Admin Console Model) but for the explicit assignment,
 * which is the assignment itself. Each depends on the clock, on health or on other nodes: none is in a snapshot.
 */
export function adminIngressConditions(facts: AdminIngressFacts, now: Date): RoleCondition[] {
  const { authorityState, health, rolesMissing, certificateEndsAt } = facts;
  const until = certificateEndsAt?.toISOString();
  const hasCertificate = certificateEndsAt !== null && now < certificateEndsAt;
  return [
    condition(
      'authority_healthy',
      authorityState === 'authoritative' || 'cluster_not_authoritative',
      `The authority of the cluster is ${authorityState}.`,
    ),
    condition(
      'snapshots_signed_and_current',
      (facts.isSigning && isCurrent(facts, now)) || 'snapshot_not_current',
      facts.isSigning
        ? `The node has applied generation ${facts.appliedGeneration ?? 'none'} of ${facts.generation}.`
        : 'The cluster has no key that signs snapshots.',
    ),
    condition(
      'certificate_valid',
      hasCertificate || 'certificate_not_valid',
      until === undefined
        ? 'The node has no certificate of the cluster that counts.'
        : `The certificate of the node ${hasCertificate ? 'is' : 'was'} valid until ${until}.`,
    ),
    condition('node_current', CURRENT.includes(health) || 'node_not_current', `The node is ${health}.`),
    condition(
      'role_coverage_exists',
      rolesMissing.length === 0 || 'role_coverage_missing',
      rolesMissing.length === 0
        ? 'Every other role with a wanted minimum is effective on as many nodes.'
        : `Too few nodes are effective in ${rolesMissing.join(', ')}.`,
    ),
  ];
}

/** A node gets as long to follow a change as it may be silent: else each change of its snapshot would shut it off. */
function isCurrent(facts: AdminIngressFacts, now: Date): boolean {
  const { appliedGeneration, generation, generationChangedAt, patienceSeconds } = facts;
  if (appliedGeneration === null || appliedGeneration > generation) return false;
  return (
    appliedGeneration === generation || now.getTime() < generationChangedAt.getTime() + patienceSeconds * 1000
  );
}
