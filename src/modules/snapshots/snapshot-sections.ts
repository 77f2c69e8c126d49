import { sha256OfJson } from '../../common/json/canonical-json.js';
import type { SnapshotContent } from './snapshot-content.js';

/** Some members of a content, stored once for all snapshots in which they are the same. */
export interface Section {
  /** SHA-256 over the canonical JSON of the members. */
  hash: Buffer;
  members: object;
}

/** What stands in the row of a generation itself. */
type InRow = 'clusterId' | 'nodeId';
type Member = Exclude<keyof SnapshotContent, InRow>;

export const HASH_BYTES = 32;

/**
 * Members that change together and are shared together: by the whole cluster, by nodes of the same roles, or by one
 * node's generations. A member that is in no group is a section of its own.
 */
const GROUPS: readonly (readonly Member[])[] = [
  ['schema', 'authorityTerm', 'degradedGraceSeconds', 'trust'],
  ['membership', 'telemetry'],
  ['roles', 'services', 'ingress', 'storage'],
  ['peers', 'routePolicy', 'qosPolicy'],
];

/** Takes a content apart; {@link membersOf} puts it together again. */
export function sectionsOf({ clusterId: _, nodeId: __, ...content }: SnapshotContent): Section[] {
  const grouped = new Set<string>(GROUPS.flat());
  const alone = Object.keys(content).filter((name) => !grouped.has(name));
  const groups: (readonly string[])[] = [...GROUPS, ...alone.map((name) => [name])];
  const all: Record<string, unknown> = content;
  return groups.map((names) => {
    const present = names.filter((name) => all[name] !== undefined);
    const members = Object.fromEntries(present.map((name) => [name, all[name]]));
    return { hash: sha256OfJson(members), members };
  });
}

/** The members that sections hold together. */
export function membersOf(sections: readonly object[]): Omit<SnapshotContent, InRow> {
  return Object.assign({}, ...sections) as Omit<SnapshotContent, InRow>;
}

/** The hashes that stand one behind the other. */
export function hashesIn(bytes: Buffer): Buffer[] {
  return Array.from({ length: bytes.length / HASH_BYTES }, (_, index) =>
    bytes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES),
  );
}
