import { isCount, isObject, isText } from '../json-values.js';
import { type ContentId, isVersionName, parseContent } from './release-manifest.js';
import { PRODUCT_NAME } from './release-pins.js';

/** An update as a snapshot tells of it. The manifest is an envelope that nobody has verified yet. */
export interface SnapshotUpdate {
  assignmentId: string;
  product: string;
  toVersion: string;
  epoch: number;
  /** `offered`: it may be made ready; `granted`: the service may be taken out of service for it. */
  phase: 'offered' | 'granted';
  artifact: { os: string; arch: string } & ContentId;
  manifest: unknown;
}

/** It becomes a part of URLs. */
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Reads a snapshot's `updates`; null when it is no list. An entry in words that this agent does not know is left out:
 * what it cannot understand it does not install. Of two for one product the first counts.
 */
export function parseUpdates(value: unknown): SnapshotUpdate[] | null {
  if (value === undefined) return [];
  if (!Array.isArray(value)) return null;
  const read = value.map(parseUpdate).filter((update) => update !== null);
  return read.filter(({ product }, index) => read.findIndex((other) => other.product === product) === index);
}

function parseUpdate(value: unknown): SnapshotUpdate | null {
  if (!isObject(value) || !isObject(value.artifact)) return null;
  const { assignmentId, product, toVersion, epoch, phase, manifest } = value;
  const { os, arch } = value.artifact;
  const content = parseContent(value.artifact);
  if (!isText(assignmentId) || !ID.test(assignmentId) || !isText(product) || !PRODUCT_NAME.test(product))
    return null;
  if (!isVersionName(toVersion) || !isCount(epoch) || (phase !== 'offered' && phase !== 'granted'))
    return null;
  if (content === null || !isText(os) || !isText(arch)) return null;
  return { assignmentId, product, toVersion, epoch, phase, artifact: { os, arch, ...content }, manifest };
}
