import { sha256OfJson } from '../../common/json/canonical-json.js';
import {
  type ClusterContent,
  type NodeContent,
  SNAPSHOT_SCHEMA,
  type SnapshotContent,
} from './snapshot-content.js';

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
 * Members that change together and are shared together: by nodes of the same roles, or by one node's generations. What
 * the whole cluster shares is a section; a member that is in no group is one of its own.
 */
const GROUPS: readonly (readonly Member[])[] = [
  ['membership', 'telemetry'],
  ['roles', 'services', 'ingress', 'storage'],
  ['peers', 'routePolicy', 'qosPolicy'],
];

/** The section that all nodes of a cluster share; with {@link ownSections} it is what {@link membersOf} puts together. */
export function sharedSection(content: ClusterContent): Section {
  return section({ schema: SNAPSHOT_SCHEMA, ...content });
}

/** Takes apart what is a node's own. */
export function ownSections({ clusterId: _, nodeId: __, schema: ___, ...content }: NodeContent): Section[] {
  const grouped = new Set<string>(GROUPS.flat());
  const alone = Object.keys(content).filter((name) => !grouped.has(name));
  const groups: (readonly string[])[] = [...GROUPS, ...alone.map((name) => [name])];
  const all: Record<string, unknown> = content;
  return groups.map((names) => {
    const present = names.filter((name) => all[name] !== undefined);
    return section(Object.fromEntries(present.map((name) => [name, all[name]])));
  });
}

function section(members: object): Section {
  return { hash: sha256OfJson(members), members };
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
