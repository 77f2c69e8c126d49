import { isCount, isObject, isText } from '../json-values.js';
import type { ContentId } from '../updates/release-manifest.js';

/** A node near this one that keeps files of releases. */
export interface NearCache {
  nodeId: string;
  /** `https://`, host and port. */
  url: string;
  /** Whom its certificate must name. */
  spiffeId: string;
}

const SHA256 = /^[0-9a-f]{64}$/;
/** More than the control plane ever tells of. */
const MAX_CACHES = 8;

/** What a cache is to keep, those files first that are needed soonest; null: the node is none. */
export function parseMirror(value: unknown): ContentId[] | null {
  if (!isObject(value) || !Array.isArray(value.files)) return null;
  return value.files.filter(isObject).flatMap(({ sha256, size }) => {
    return isText(sha256) && SHA256.test(sha256) && isCount(size) ? [{ sha256, size }] : [];
  });
}

/** Caches near the node, nearest first. They are only hints: one that cannot be read is left out. */
export function parseNearCaches(value: unknown): NearCache[] {
  if (!Array.isArray(value)) return [];
  const caches = value.filter(isObject).flatMap(({ nodeId, url, spiffeId }) => {
    if (!isText(nodeId) || !isText(url) || !isText(spiffeId)) return [];
    const isPlace = URL.canParse(url) && new URL(url).protocol === 'https:';
    return isPlace ? [{ nodeId, url, spiffeId }] : [];
  });
  return caches.slice(0, MAX_CACHES);
}
