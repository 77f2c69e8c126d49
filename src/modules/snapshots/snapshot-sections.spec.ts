import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { canonicalJson } from '../../common/json/canonical-json.js';
import {
  type ClusterContent,
  type NodeContent,
  SNAPSHOT_SCHEMA,
  type SnapshotContent,
} from './snapshot-content.js';
import { hashesIn, membersOf, ownSections, type Section, sharedSection } from './snapshot-sections.js';

const MEMBERS = [
  'authorityTerm',
  'trust',
  'membership',
  'telemetry',
  'roles',
  'workloads',
  'services',
  'peers',
  'updates',
  'unheardOf',
];
/** Any content, with members present or not. */
const contents = fc
  .dictionary(fc.constantFrom(...MEMBERS), fc.jsonValue(), { noNullPrototype: true })
  .map(
    (members) =>
      ({ clusterId: 'c', nodeId: 'n', schema: SNAPSHOT_SCHEMA, ...members }) as unknown as SnapshotContent,
  );

function sectionsOf(content: SnapshotContent): Section[] {
  const { authorityTerm, degradedGraceSeconds, trust, ...own } = content;
  const shared = { authorityTerm, degradedGraceSeconds, trust } as ClusterContent;
  return [sharedSection(shared), ...ownSections(own as NodeContent)];
}

describe('the sections of a content', () => {
  it('are put together to what was taken apart, members that nobody knew included', () => {
    fc.assert(
      fc.property(contents, (content) => {
        const { clusterId: _, nodeId: __, ...members } = content;
        const together = membersOf(sectionsOf(content).map((section) => section.members));
        expect(canonicalJson(together)).toBe(canonicalJson(members));
      }),
    );
  });

  it('are the same for nodes that have them in common, and for one node before and after', () => {
    fc.assert(
      fc.property(contents, (content) => {
        const hashes = (of: SnapshotContent) => sectionsOf(of).map(({ hash }) => hash.toString('hex'));
        const other = {
          ...content,
          nodeId: 'other',
          membership: { status: 'active', name: 'other' },
        } as const;
        const differing = hashes({
          ...content,
          nodeId: 'one',
          membership: { status: 'active', name: 'one' },
        });
        const shared = hashes(other).filter((hash) => differing.includes(hash));
        expect(shared).toHaveLength(differing.length - 1);
      }),
    );
  });

  it('are found again from their hashes in a row', () => {
    const sections = sectionsOf({ clusterId: 'c', nodeId: 'n', workloads: [] } as unknown as SnapshotContent);
    const hashes = sections.map(({ hash }) => hash);
    expect(hashesIn(Buffer.concat(hashes))).toEqual(hashes);
  });
});
