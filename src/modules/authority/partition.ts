import type { AuditEvent } from '../../common/audit/audit-event.js';
import type { AuthorityState } from './authority-transition.js';

/** What shows a partition: reports that cannot be true together, or too few nodes that report at all. */
export type PartitionKind = 'contradiction' | 'quorum_lost';

/** One side of a partition. */
export interface PartitionSide {
  side: 'here' | 'elsewhere' | 'missing';
  /** The authority that it follows; null where that is not known. */
  authorityTerm: number | null;
  authorityHolder: string | null;
  nodeCount: number;
  /** The first of them, by id. */
  nodeIds: string[];
}

/** Something that shows a partition, as a look at one instant finds it. */
export interface PartitionFinding {
  kind: PartitionKind;
  /** Tells findings of a kind apart. */
  subject: string;
  /** The figures that decided. */
  evidence: Record<string, string | number | null>;
}

/** A finding that is written down. */
export interface KnownPartition {
  id: string;
  kind: PartitionKind;
  subject: string;
  since: Date;
  /** When its evidence was gone; null while it lasts. */
  clearedAt: Date | null;
  /** When an operator had moved the authority on; null while it is open. */
  resolvedAt: Date | null;
}

/** States that the service moves to `partitioned`, and those in which it writes findings down. It never leaves any. */
const MOVED: readonly AuthorityState[] = ['authoritative', 'degraded'];
const WATCHED: readonly AuthorityState[] = [...MOVED, 'partitioned'];

/** What follows from a look. */
export interface PartitionVerdict {
  /** Findings to write down. */
  opens: PartitionFinding[];
  /** Open ones whose evidence had been gone and is back. */
  returns: KnownPartition[];
  /** Ones whose evidence is gone. */
  clears: KnownPartition[];
  /** The authority goes to `partitioned`. */
  moves: boolean;
}

/**
 * Compares what a look has found with what is written down. What an operator has resolved while its evidence lasted is
 * the operator's decision: it is not found again until the evidence has been gone once. While an operator recovers or
 * has fenced the cluster nothing new is written down.
 * @param held kinds that this look could not judge: they are neither found nor gone
 */
export function judgeFindings(
  state: AuthorityState,
  findings: readonly PartitionFinding[],
  known: readonly KnownPartition[],
  held: readonly PartitionKind[] = [],
): PartitionVerdict {
  const same = (one: Omit<PartitionFinding, 'evidence'>) => (other: Omit<PartitionFinding, 'evidence'>) =>
    one.kind === other.kind && one.subject === other.subject;
  const judged = findings.filter((finding) => !held.includes(finding.kind));
  const lasting = known.filter((partition) => partition.clearedAt === null);
  const fresh = WATCHED.includes(state) ? judged.filter((finding) => !lasting.some(same(finding))) : [];
  const open = known.filter((partition) => partition.resolvedAt === null && partition.clearedAt !== null);
  const opens = fresh.filter((finding) => !open.some(same(finding)));
  return {
    opens,
    returns: open.filter((partition) => fresh.some(same(partition))),
    clears: lasting.filter((partition) => !held.includes(partition.kind) && !judged.some(same(partition))),
    moves: opens.length > 0 && MOVED.includes(state),
  };
}

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'authority.partition_found': {
      before: null;
      after: Omit<PartitionFinding, 'subject'> & { sides: PartitionSide[] };
    };
    'authority.partition_cleared': { before: { kind: PartitionKind; since: string }; after: null };
  }
}

/** Nodes of a side that an event names. */
const NAMED = 20;

const about = (clusterId: string) => ({
  resource: { type: 'authority', id: clusterId, name: null },
  clusterId,
  outcome: 'success' as const,
  highRisk: true,
  reason: null,
});

export function partitionFound(
  clusterId: string,
  { kind, evidence }: PartitionFinding,
  sides: readonly PartitionSide[],
): AuditEvent {
  const shown = sides.map((side) => ({ ...side, nodeIds: side.nodeIds.slice(0, NAMED) }));
  const after = { kind, evidence, sides: shown };
  return { action: 'authority.partition_found', ...about(clusterId), before: null, after };
}

export function partitionCleared(clusterId: string, { kind, since }: KnownPartition): AuditEvent {
  const before = { kind, since: since.toISOString() };
  return { action: 'authority.partition_cleared', ...about(clusterId), before, after: null };
}

/** Why the service has moved the authority, in a sentence. */
export function partitionReason(findings: readonly PartitionFinding[]): string {
  const sentences: Record<PartitionKind, string> = {
    contradiction: 'Nodes report an authority that cannot be beside this one.',
    quorum_lost: 'Too few nodes report.',
  };
  return [...new Set(findings.map(({ kind }) => sentences[kind]))].join(' ');
}
