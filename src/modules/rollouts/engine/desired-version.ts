import { isUsable, type Refusal, type VersionFacts } from './version-filters.js';

/** By which rule a version was chosen: the number is its place, and the first that has something to say decides. */
export const RESOLUTION_RULES = {
  fenced: 1,
  emergency_pin: 2,
  node_pin: 3,
  rollback: 4,
  granted: 5,
  joiner: 6,
  channel: 7,
} as const;
export type ResolutionRule = keyof typeof RESOLUTION_RULES;

/** What speaks for a version; null where nothing does. */
export interface VersionSources {
  /** The node has been fenced. */
  isFenced: boolean;
  emergencyPin: string | null;
  nodePin: string | null;
  /** Of the rollback that takes the node back. */
  rollback: string | null;
  /** Of the rollout that has offered or granted its version to the node. */
  granted: string | null;
  /** A rollout is under way, and the node's turn has not come: the version from which it leads. */
  joiner: string | null;
  channel: string | null;
}

/** What the node is to run, and why. */
export interface DesiredVersion {
  /** null: it stays as it is. */
  version: string | null;
  rule: ResolutionRule | 'none';
  ruleNumber: number | null;
  /** Why `version` is not what the rule asked for: refused, or a stop on the way there. */
  reason: 'chosen' | 'stop_on_the_way' | 'last_known_good' | 'no_source' | 'fenced' | Refusal;
  /** What the rule asked for. */
  wanted: string | null;
}

/**
 * What a node is to run. The rules in their order, and the first that names a version decides, even where that version is
 * refused then: a pin that cannot be followed does not turn into something else. Only from a blocked version a node goes
 * to its last-known-good one, whatever else cannot be followed.
 */
export function desiredVersion(sources: VersionSources, facts: VersionFacts): DesiredVersion {
  if (sources.isFenced) return decided('fenced', null, 'fenced', null);
  for (const [rule, wanted] of wishes(sources)) {
    if (wanted === null) continue;
    const usable = isUsable(wanted, facts);
    if (usable.kind === 'refused')
      return awayFromBlocked(facts) ?? decided(rule, null, usable.refusal, wanted);
    return decided(rule, usable.version, usable.version === wanted ? 'chosen' : 'stop_on_the_way', wanted);
  }
  return (
    awayFromBlocked(facts) ?? {
      version: null,
      rule: 'none',
      ruleNumber: null,
      reason: 'no_source',
      wanted: null,
    }
  );
}

function wishes(sources: VersionSources): [ResolutionRule, string | null][] {
  const { emergencyPin, nodePin, rollback, granted, joiner, channel } = sources;
  return [
    ['emergency_pin', emergencyPin],
    ['node_pin', nodePin],
    ['rollback', rollback],
    ['granted', granted],
    ['joiner', joiner],
    ['channel', channel],
  ];
}

function awayFromBlocked(facts: VersionFacts): DesiredVersion | null {
  const { installed, lastKnownGood } = facts;
  if (installed === null || lastKnownGood === null || facts.release(installed)?.isBlocked !== true)
    return null;
  const usable = isUsable(lastKnownGood, facts);
  return usable.kind === 'usable'
    ? decided('rollback', usable.version, 'last_known_good', lastKnownGood)
    : null;
}

function decided(
  rule: ResolutionRule,
  version: string | null,
  reason: DesiredVersion['reason'],
  wanted: string | null,
): DesiredVersion {
  return { version, rule, ruleNumber: RESOLUTION_RULES[rule], reason, wanted };
}
