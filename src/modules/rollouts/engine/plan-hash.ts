import { sha256OfJson } from '../../../common/json/canonical-json.js';
import type { RolloutPlan } from './plan.js';

/** What is approved and what runs, in one value: the version, how it is rolled out, and to which nodes in which waves. */
export function planDigest(terms: object, { waves, skipped }: RolloutPlan): string {
  const members = waves.map(({ name, nodes }) => ({
    name,
    nodes: nodes.map(({ nodeId, fromVersion, nextVersion }) => [nodeId, fromVersion, nextVersion]),
  }));
  return sha256OfJson({ terms, waves: members, skipped }).toString('base64url');
}
