import { jsonDiff } from '../../common/json/json-diff.js';
import type { KeptGenerationView } from './snapshots.schema.js';

type Patch = NonNullable<KeptGenerationView['patch']>;

/** Operations that a list shows of one generation, and their size as JSON: a page of them stays within megabytes. */
const SHOWN_OPERATIONS = 100;
const SHOWN_BYTES = 32_768;

/** How one content differs from the one before, as far as a list shows it. */
export function boundedPatch(before: object, after: object): { patch: Patch; isTruncated: boolean } {
  const all = jsonDiff(before, after) as Patch;
  const patch: Patch = [];
  let bytes = 0;
  for (const operation of all) {
    bytes += Buffer.byteLength(JSON.stringify(operation));
    if (patch.length === SHOWN_OPERATIONS || bytes > SHOWN_BYTES) return { patch, isTruncated: true };
    patch.push(operation);
  }
  return { patch, isTruncated: false };
}
