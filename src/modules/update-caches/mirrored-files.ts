import type { ChannelPointer, ServableFile } from '../releases/releases.read-model.js';
import { MAX_FILES } from './update-cache.js';

/** A file that caches are to keep. */
export type MirroredFile = Pick<ServableFile, 'releaseId' | 'product' | 'version' | 'sha256' | 'size'>;

/** What nodes need soon comes first: a cache that has no room for all keeps the first. */
const CHANNEL_RANK = { stable: 1, current: 2, candidate: 3 } as const;

/** How soon nodes need each of the releases: those of rollouts at once. */
export function ranked(
  underWay: readonly string[],
  channels: readonly Pick<ChannelPointer, 'channel' | 'releaseId'>[],
): Map<string, number> {
  const ranks = new Map(underWay.map((releaseId) => [releaseId, 0]));
  for (const { channel, releaseId } of channels) {
    if (releaseId === null) continue;
    ranks.set(releaseId, Math.min(ranks.get(releaseId) ?? Number.POSITIVE_INFINITY, CHANNEL_RANK[channel]));
  }
  return ranks;
}

/** The files, each content once, those first that are needed soonest, and no more than a snapshot has room for. */
export function mirroredFiles(
  files: readonly ServableFile[],
  ranks: ReadonlyMap<string, number>,
): MirroredFile[] {
  const key = ({ product, version, sha256 }: ServableFile) => `${product}\n${version}\n${sha256}`;
  const rank = ({ releaseId }: ServableFile) => ranks.get(releaseId) ?? Number.POSITIVE_INFINITY;
  const inOrder = [...files].sort(
    (one, other) => rank(one) - rank(other) || (key(one) < key(other) ? -1 : 1),
  );
  const byDigest = new Map<string, MirroredFile>();
  for (const { releaseId, product, version, sha256, size } of inOrder) {
    if (!byDigest.has(sha256)) byDigest.set(sha256, { releaseId, product, version, sha256, size });
  }
  return [...byDigest.values()].slice(0, MAX_FILES);
}
