/** A version that somebody has published and signed. */
export interface KnownRelease {
  version: string;
  isApproved: boolean;
  isBlocked: boolean;
  /** `os/arch` of the files that are there. */
  platforms: readonly string[];
  /** The lowest version from which it is reached in one step; null: every one. */
  floor: string | null;
  /** The oldest agent that installs it; null: any. */
  minAgent: string | null;
  canBeUndone: boolean;
}

/** A wish that holds from one instant until another. */
export interface TimedWish {
  version: string;
  /** null: it waits for approvals. */
  beganAt: number | null;
  /** Somebody has ended it. */
  endedAt: number | null;
  /** Exclusive; null: never. */
  expiresAt: number | null;
}

/** A node, and everything that speaks for a version on it. */
export interface NodeCase {
  platform: string;
  agent: string | null;
  installed: string | null;
  lastKnownGood: string | null;
  isFenced: boolean;
  emergency: TimedWish | null;
  pin: TimedWish | null;
  rollback: string | null;
  granted: string | null;
  joiner: string | null;
  channel: string | null;
}

/** What the node is to run by the rules as they are written down. */
export interface Due {
  /** Number of the rule that decides; null: none does. */
  rule: number | null;
  /** Any of them is right; empty: it stays as it is. */
  versions: readonly string[];
}

/**
 * Which version a node is to run, read off the text of the rules and of nothing that the service does: rules 1 to 7, the
 * first that names a version decides, and the filters stand behind each of them. Versions are of one digit each, so that
 * they compare as text.
 */
export function dueVersion(node: NodeCase, releases: readonly KnownRelease[], now: number): Due {
  if (node.isFenced) return { rule: 1, versions: [] };
  const wishes: [number, string | null][] = [
    [2, heldBy(node.emergency, now)],
    [3, heldBy(node.pin, now)],
    [4, node.rollback],
    [5, node.granted],
    [6, node.joiner],
    [7, node.channel],
  ];
  const [rule, wanted] = wishes.find(([, version]) => version !== null) ?? [null, null];
  const versions = wanted === null ? [] : nextOn(node, wanted, releases);
  if (versions.length > 0) return { rule, versions };
  // Section 3: who stands on a blocked version goes to the last good one, whatever else cannot be.
  const stands = releases.find(({ version }) => version === node.installed);
  const home = stands?.isBlocked === true && node.lastKnownGood !== null ? node.lastKnownGood : null;
  const back = home === null ? [] : nextOn(node, home, releases);
  return back.length > 0 ? { rule: 4, versions: back } : { rule, versions: [] };
}

function heldBy(wish: TimedWish | null, now: number): string | null {
  if (wish === null || wish.beganAt === null || wish.beganAt > now) return null;
  if (wish.endedAt !== null && wish.endedAt <= now) return null;
  return wish.expiresAt !== null && wish.expiresAt <= now ? null : wish.version;
}

/** Versions by which a shortest way to the wanted one may begin. */
export function nextOn(node: NodeCase, wanted: string, releases: readonly KnownRelease[]): readonly string[] {
  const target = releases.find(({ version }) => version === wanted);
  const { installed } = node;
  if (target === undefined || !isFor(node, target)) return [];
  // What is there needs no agent that could install it.
  if (installed === wanted) return [wanted];
  if (!mayHave(node, target)) return [];
  if (installed === null) return [wanted];
  if (wanted < installed) return mayGoDown(installed, wanted, releases) ? [wanted] : [];
  const between = releases.filter(({ version }) => version > installed && version < wanted);
  const ways = subsetsOf(between)
    .map((some) => [...some.sort((one, other) => (one.version < other.version ? -1 : 1)), target])
    .filter((way) => isWalkable(node, installed, way));
  const shortest = Math.min(...ways.map(({ length }) => length));
  return ways.flatMap((way) => (way.length === shortest && way[0] !== undefined ? [way[0].version] : []));
}

/** Signed by being known. */
function isFor({ platform }: NodeCase, { isApproved, isBlocked, platforms }: KnownRelease): boolean {
  return isApproved && !isBlocked && platforms.includes(platform);
}

function mayHave(node: NodeCase, release: KnownRelease): boolean {
  const { agent } = node;
  const { minAgent } = release;
  return isFor(node, release) && (minAgent === null || (agent !== null && agent >= minAgent));
}

function isWalkable(node: NodeCase, from: string, way: readonly KnownRelease[]): boolean {
  return way.every(
    (step, index) =>
      mayHave(node, step) && (step.floor === null || (way[index - 1]?.version ?? from) >= step.floor),
  );
}

/** Back in one step, over nothing that cannot be undone, and only from what is known. */
function mayGoDown(installed: string, wanted: string, releases: readonly KnownRelease[]): boolean {
  const left = releases.filter(({ version }) => version > wanted && version <= installed);
  return left.some(({ version }) => version === installed) && left.every(({ canBeUndone }) => canBeUndone);
}

function subsetsOf<T>(all: readonly T[]): T[][] {
  const [first, ...rest] = all;
  if (first === undefined) return [[]];
  const without = subsetsOf(rest);
  return [...without, ...without.map((subset) => [first, ...subset])];
}
