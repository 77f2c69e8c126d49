import { createHash } from 'node:crypto';
import { canonicalJson } from '../../../common/json/canonical-json.js';
import { inTurns, type LongWork } from '../../../common/waiting/long-work.js';
import type { RolloutPlan } from './plan.js';

/** Nodes between two looks at what else there is to do: some milliseconds. */
const IN_A_ROW = 2_000;

/** What is approved and what runs, in one value: the version, how it is rolled out, and to which nodes in which waves.
 *  SHA-256 over the canonical JSON of all that, of which only a part exists at a time. */
export function planDigest(terms: object, plan: RolloutPlan): Promise<string> {
  return inTurns(digesting(terms, plan));
}

function* digesting(terms: object, { waves, skipped }: RolloutPlan): LongWork<string> {
  const digest = createHash('sha256');
  function* addList<T>(items: readonly T[], of: (item: T) => unknown): LongWork<void> {
    for (let from = 0; from < items.length; from += IN_A_ROW) {
      if (from > 0) yield;
      const some = items.slice(from, from + IN_A_ROW).map(of);
      digest.update(`${from === 0 ? '' : ','}${canonicalJson(some).slice(1, -1)}`);
    }
  }
  digest.update('{"skipped":[');
  yield* addList(skipped, (each) => each);
  digest.update(`],"terms":${canonicalJson(terms)},"waves":[`);
  for (const [index, { name, nodes }] of waves.entries()) {
    digest.update(`${index === 0 ? '' : ','}{"name":${canonicalJson(name)},"nodes":[`);
    yield* addList(nodes, ({ nodeId, fromVersion, nextVersion }) => [nodeId, fromVersion, nextVersion]);
    digest.update(']}');
  }
  return digest.update(']}').digest('base64url');
}
