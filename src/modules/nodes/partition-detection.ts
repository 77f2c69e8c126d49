import type { AuthorityState } from '../authority/authority-transition.js';
import type { PartitionFinding, PartitionKind } from '../authority/partition.js';
import type { PolicyView } from '../clusters/policy.schema.js';
import type { Heartbeat } from './heartbeats.schema.js';

/** What a cluster's policy asks for. */
export interface PartitionRules {
  /** null: contradictions do not count. */
  minimumReporters: number | null;
  quorum: { role: string | null; minimumPercent: number; windowSeconds: number } | null;
}

/** One node may be wrong, or lie. */
const MINIMUM_REPORTERS = 2;

/** An authority as somebody follows it. */
export interface FollowedAuthority {
  term: number;
  /** null where nobody said. */
  holder: string | null;
}

/** What a node says of an authority that it, or a peer of it, follows. */
export interface AuthorityReport extends FollowedAuthority {
  subjectId: string;
}

/** How many nodes report the same other authority, and of how many. */
export interface ReportedAuthority extends FollowedAuthority {
  reporters: number;
  subjects: number;
}

/** How many active nodes there are that have ever reported, and how many of them did within the window. */
export interface Quorum {
  total: number;
  present: number;
}

/** What one look at a cluster sees. */
export interface PartitionSight {
  authority: { state: AuthorityState; term: number; holder: string };
  /** Those that contradict the authority. */
  reported: readonly ReportedAuthority[];
  /** null where the policy asks for none. */
  quorum: Quorum | null;
  /** Nobody listens to nodes at the moment, so that their silence means nothing. */
  isDeaf: boolean;
  /** More than half of the nodes lapsed at once, and the likely culprit is the control plane. */
  isBraked: boolean;
}

/** What the policy asks for; null where nothing is to be detected. */
export function partitionRules(policy: PolicyView['partitionDetection']): PartitionRules | null {
  if (policy.enabled !== true) return null;
  const { contradiction = true, minimumReporters = MINIMUM_REPORTERS, quorum } = policy;
  return {
    minimumReporters: contradiction ? minimumReporters : null,
    quorum: quorum === undefined ? null : { ...quorum, role: quorum.role ?? null },
  };
}

/**
 * Whether what somebody follows cannot be true beside the authority that is known here: a later term, which only
 * another authority can have given, or the same term in other hands. What is of an earlier term is history.
 */
export function contradicts(followed: FollowedAuthority, known: { term: number; holder: string }): boolean {
  if (followed.term !== known.term) return followed.term > known.term;
  return followed.holder !== null && followed.holder !== known.holder;
}

/** What in a heartbeat contradicts the authority; of each subject the first. A peer that did not answer is not known. */
export function contradictionsIn(
  nodeId: string,
  { authorityTermSeen, authorityHolderSeen, peersSeen = [] }: Heartbeat,
  known: { term: number; holder: string },
): AuthorityReport[] {
  const reports = new Map<string, AuthorityReport>();
  const add = (subjectId: string, term: number | undefined, holder: string | undefined) => {
    const report = { subjectId, term: term ?? 0, holder: holder ?? null };
    if (!reports.has(subjectId) && contradicts(report, known)) reports.set(subjectId, report);
  };
  // A later term alone is a claim, and is taken care of as such: here it takes somebody who holds it.
  if (authorityHolderSeen !== undefined) add(nodeId, authorityTermSeen, authorityHolderSeen);
  for (const peer of peersSeen) {
    if (peer.reachable !== false) add(peer.nodeId.toLowerCase(), peer.authorityTerm, peer.authorityHolder);
  }
  return [...reports.values()];
}

/** What a look shows. Reports are evidence whether or not nodes are silent; a quorum is judged by silence alone. */
export function findPartitions(rules: PartitionRules | null, sight: PartitionSight): PartitionFinding[] {
  if (rules === null) return [];
  const held = heldKinds(sight);
  return [...contradictions(rules, sight), ...quorumLost(rules, sight)].filter(
    ({ kind }) => !held.includes(kind),
  );
}

/** What a look cannot judge: neither to be found, nor to be taken for gone. */
export function heldKinds({
  isDeaf,
  isBraked,
}: Pick<PartitionSight, 'isDeaf' | 'isBraked'>): PartitionKind[] {
  return isDeaf || isBraked ? ['quorum_lost'] : [];
}

function contradictions({ minimumReporters }: PartitionRules, sight: PartitionSight): PartitionFinding[] {
  if (minimumReporters === null) return [];
  return sight.reported
    .filter((other) => other.reporters >= minimumReporters && contradicts(other, sight.authority))
    .map(({ term, holder, reporters, subjects }) => ({
      kind: 'contradiction' as const,
      subject: `${term}/${holder ?? ''}`,
      evidence: { term, holder, reporters, subjects, minimumReporters },
    }));
}

function quorumLost({ quorum: rule }: PartitionRules, { quorum }: PartitionSight): PartitionFinding[] {
  // Of nobody there is no quorum to lose.
  if (rule === null || quorum === null || quorum.total === 0) return [];
  if (quorum.present * 100 >= rule.minimumPercent * quorum.total) return [];
  return [{ kind: 'quorum_lost', subject: rule.role ?? '', evidence: { ...quorum, ...rule } }];
}
