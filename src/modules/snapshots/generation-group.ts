import type { UnsignedSnapshot } from './snapshot-parts.js';

/** Fewer are stored as rows at once. */
export const LEAST_MEMBERS = 32;

/** Generations of many nodes of one cluster that share what it shares, packed as parameters of one statement. */
export interface GenerationGroup {
  clusterId: string;
  authorityTerm: number;
  sharedHash: Buffer;
  /** These are literals of arrays: Postgres reads them faster, and they are put together faster, than lists of texts. */
  nodeIds: string;
  generations: string;
  issuedMs: string;
  expiresMs: string;
  /** Hashes of own sections, one node behind the other. */
  ownHashes: Buffer;
  /** Where each node's begin, and where the last one's end. */
  ownBounds: string;
}

/** The snapshots as one group; null when they are few, or do not share what a group has once. */
export function groupOf(snapshots: readonly UnsignedSnapshot[]): GenerationGroup | null {
  const [first] = snapshots;
  if (first === undefined || snapshots.length < LEAST_MEMBERS) return null;
  if (!snapshots.every((each) => belongTogether(first, each))) return null;
  const hashes = snapshots.map(({ own }) => own.hashes);
  const bounds = [0];
  let end = 0;
  for (const { length } of hashes) {
    end += length;
    bounds.push(end);
  }
  return {
    clusterId: first.clusterId,
    authorityTerm: first.shared.content.authorityTerm,
    sharedHash: first.shared.section.hash,
    nodeIds: literal(snapshots.map(({ nodeId }) => nodeId)),
    generations: literal(snapshots.map(({ generation }) => generation)),
    issuedMs: literal(snapshots.map(({ issuedAt }) => issuedAt.getTime())),
    expiresMs: literal(snapshots.map(({ expiresAt }) => expiresAt.getTime())),
    ownHashes: Buffer.concat(hashes, end),
    ownBounds: literal(bounds),
  };
}

/** What clusters share has their term in it, so that one hash means one term. */
function belongTogether(one: UnsignedSnapshot, other: UnsignedSnapshot): boolean {
  if (one.clusterId !== other.clusterId) return false;
  return one.shared === other.shared || one.shared.section.hash.equals(other.shared.section.hash);
}

/** Of ids and numbers, none of which has to be quoted. */
function literal(elements: readonly (string | number)[]): string {
  return `{${elements.join(',')}}`;
}
