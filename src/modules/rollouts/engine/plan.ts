import { atOnce, type LongWork } from '../../../common/waiting/long-work.js';
import { nodeBucket } from './node-bucket.js';
import { RULES, type Rules } from './rules.js';
import { isUsable, type KnownVersions, type Refusal, type Usability } from './version-filters.js';
import { shareOut, type WaveShare } from './wave-shares.js';

/** A node that a rollout might update. */
export interface Candidate {
  nodeId: string;
  /** `os/arch`. */
  platform: string;
  installed: string | null;
  lastKnownGood: string | null;
  /** What keeps it out of any rollout. */
  obstacle: 'membership_disabled' | 'fenced' | 'pinned' | 'not_running_product' | 'update_in_progress' | null;
}

export type SkipReason = NonNullable<Candidate['obstacle']> | Refusal | 'already_on_target' | 'in_no_wave';

/** What a rollout is planned from. */
export interface PlanInput {
  targetVersion: string;
  salt: string;
  candidates: readonly Candidate[];
  waves: readonly { name: string; share: WaveShare }[];
  /** The releases as they are for this node; the same object for those that are alike. */
  versionsFor(candidate: Candidate): KnownVersions;
}

export interface PlannedNode {
  nodeId: string;
  platform: string;
  fromVersion: string | null;
  /** The first stop on its way; the target, where nothing lies between. */
  nextVersion: string;
}

/** Who is updated when, and who is not. */
export interface RolloutPlan {
  waves: { name: string; nodes: PlannedNode[] }[];
  skipped: { nodeId: string; reason: SkipReason }[];
  /** Platforms of which the first wave has no node, though a later one does. */
  untriedPlatforms: string[];
}

/** Nodes between two looks at what else there is to do: some milliseconds. */
const IN_A_ROW = 2_000;

/** Puts each node into at most one wave, in an order that is another for every rollout. */
export function planRollout(input: PlanInput, rules: Rules = RULES): RolloutPlan {
  return atOnce(planning(input, rules));
}

/** The same, part by part. */
export function* planning(input: PlanInput, rules: Rules = RULES): LongWork<RolloutPlan> {
  const skipped = new Map<string, SkipReason>();
  const eligible: PlannedNode[] = [];
  const usability = new KnownUsability(input.targetVersion);
  for (const [index, candidate] of input.candidates.entries()) {
    if (index % IN_A_ROW === 0) yield;
    const verdict = verdictOn(candidate, input, usability);
    if (verdict.kind === 'skipped') skipped.set(candidate.nodeId, verdict.reason);
    else eligible.push(verdict.node);
  }
  const shares = input.waves.map(({ share }) => share);
  const ordered = yield* inOrder(eligible, input.salt);
  yield;
  const members = shareOut(ordered, shares, rules.takesPart);
  yield;
  const planned = new Set(members.flat().map(({ nodeId }) => nodeId));
  for (const { nodeId } of eligible) if (!planned.has(nodeId)) skipped.set(nodeId, 'in_no_wave');
  return {
    waves: input.waves.map(({ name }, index) => ({ name, nodes: members[index] ?? [] })),
    skipped: [...skipped].map(([nodeId, reason]) => ({ nodeId, reason })).sort(byNodeId),
    untriedPlatforms: untried(members),
  };
}

function verdictOn(
  candidate: Candidate,
  { targetVersion, versionsFor }: PlanInput,
  usability: KnownUsability,
): { kind: 'skipped'; reason: SkipReason } | { kind: 'planned'; node: PlannedNode } {
  const { nodeId, platform, installed, obstacle } = candidate;
  if (obstacle !== null) return { kind: 'skipped', reason: obstacle };
  if (installed === targetVersion) return { kind: 'skipped', reason: 'already_on_target' };
  const usable = usability.of(candidate, versionsFor(candidate));
  if (usable.kind === 'refused') return { kind: 'skipped', reason: usable.refusal };
  return { kind: 'planned', node: { nodeId, platform, fromVersion: installed, nextVersion: usable.version } };
}

/** What may be installed on nodes that are alike: a cluster has few kinds of them, and each is asked about once. */
class KnownUsability {
  private readonly known = new Map<KnownVersions, Map<string, Usability>>();

  constructor(private readonly targetVersion: string) {}

  of({ installed, lastKnownGood, platform }: Candidate, versions: KnownVersions): Usability {
    const ofKind = this.known.get(versions) ?? new Map<string, Usability>();
    if (ofKind.size === 0) this.known.set(versions, ofKind);
    const alike = `${platform} ${installed} ${lastKnownGood}`;
    let usable = ofKind.get(alike);
    if (usable === undefined) {
      usable = isUsable(this.targetVersion, { installed, lastKnownGood, platform, ...versions });
      ofKind.set(alike, usable);
    }
    return usable;
  }
}

function* inOrder(nodes: readonly PlannedNode[], salt: string): LongWork<PlannedNode[]> {
  const placed: { node: PlannedNode; bucket: number }[] = [];
  for (const [index, node] of nodes.entries()) {
    if (index % IN_A_ROW === 0) yield;
    placed.push({ node, bucket: nodeBucket(salt, node.nodeId) });
  }
  return placed
    .sort((one, other) => one.bucket - other.bucket || byNodeId(one.node, other.node))
    .map(({ node }) => node);
}

function untried(waves: readonly (readonly PlannedNode[])[]): string[] {
  const [first = [], ...later] = waves;
  const tried = new Set(first.map(({ platform }) => platform));
  const others = later.flat().map(({ platform }) => platform);
  return [...new Set(others.filter((platform) => !tried.has(platform)))].sort();
}

function byNodeId(one: { nodeId: string }, other: { nodeId: string }): number {
  return one.nodeId < other.nodeId ? -1 : 1;
}
