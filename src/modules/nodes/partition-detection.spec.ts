import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Heartbeat } from './heartbeats.schema.js';
import {
  contradictionsIn,
  contradicts,
  type FollowedAuthority,
  findPartitions,
  heldKinds,
  type PartitionRules,
  type PartitionSight,
  partitionRules,
} from './partition-detection.js';

const KNOWN = { state: 'authoritative' as const, term: 5, holder: 'here' };
const QUORUM = { role: null, minimumPercent: 51, windowSeconds: 300 };
const RULES: PartitionRules = { minimumReporters: 2, quorum: QUORUM };
const CALM: PartitionSight = { authority: KNOWN, reported: [], quorum: null, isDeaf: false, isBraked: false };
const reported = (reporters: number, other: Partial<FollowedAuthority> = {}) => ({
  term: 5,
  holder: 'there',
  subjects: 1,
  ...other,
  reporters,
});

describe('the policy for partitions', () => {
  it.each([
    ['nothing', {}, null],
    ['a quorum that is off', { quorum: QUORUM_POLICY() }, null],
    ['on', { enabled: true }, { minimumReporters: 2, quorum: null }],
    ['one reporter', { enabled: true, minimumReporters: 1 }, { minimumReporters: 1, quorum: null }],
    ['a quorum', { enabled: true, quorum: QUORUM_POLICY() }, { minimumReporters: 2, quorum: QUORUM }],
    [
      'the quorum of a role alone',
      { enabled: true, contradiction: false, quorum: { ...QUORUM_POLICY(), role: 'core-mesh' } },
      { minimumReporters: null, quorum: { ...QUORUM, role: 'core-mesh' } },
    ],
  ])('%s', (_, policy, expected) => expect(partitionRules(policy)).toEqual(expected));
});

function QUORUM_POLICY() {
  return { minimumPercent: 51, windowSeconds: 300 };
}

describe('an authority that somebody follows', () => {
  it.each<[FollowedAuthority, boolean]>([
    [{ term: 5, holder: 'here' }, false],
    [{ term: 5, holder: null }, false],
    [{ term: 5, holder: 'there' }, true],
    [{ term: 4, holder: 'there' }, false],
    [{ term: 6, holder: null }, true],
    [{ term: 6, holder: 'here' }, true],
  ])('%j beside term 5 here: contradicts %s', (followed, expected) => {
    expect(contradicts(followed, KNOWN)).toBe(expected);
  });

  it('is taken from a heartbeat where it contradicts: of the node itself and of peers that answered', () => {
    const peer = (nodeId: string, more: object) => ({ nodeId, ...more });
    const beat: Heartbeat = {
      agentVersion: '1',
      sequence: 1,
      authorityTermSeen: 5,
      authorityHolderSeen: 'there',
      peersSeen: [
        peer('A', { authorityTerm: 5, authorityHolder: 'there', reachable: true }),
        peer('b', { authorityTerm: 5, authorityHolder: 'there', reachable: false }),
        peer('c', { authorityTerm: 5, authorityHolder: 'here' }),
        peer('d', { authorityHolder: 'there' }),
        peer('e', {}),
        peer('f', { authorityTerm: 9 }),
        peer('a', { authorityTerm: 7, authorityHolder: 'again' }),
      ],
    };
    expect(contradictionsIn('self', beat, KNOWN)).toEqual([
      { subjectId: 'self', term: 5, holder: 'there' },
      { subjectId: 'a', term: 5, holder: 'there' },
      { subjectId: 'f', term: 9, holder: null },
    ]);
  });

  it('is left to claims where the node says a later term of itself and no holder', () => {
    const beat: Heartbeat = { agentVersion: '1', sequence: 1, authorityTermSeen: 9 };
    expect(contradictionsIn('self', beat, KNOWN)).toEqual([]);
  });
});

describe('a partition', () => {
  it.each<[string, Partial<PartitionSight>, Partial<PartitionRules> | null, string[]]>([
    ['nothing to see', {}, {}, []],
    ['two nodes report another holder', { reported: [reported(2)] }, {}, ['contradiction 5/there']],
    ['one node reports another holder', { reported: [reported(1)] }, {}, []],
    ['one is enough', { reported: [reported(1)] }, { minimumReporters: 1 }, ['contradiction 5/there']],
    ['contradictions do not count', { reported: [reported(9)] }, { minimumReporters: null }, []],
    ['of an earlier term', { reported: [reported(9, { term: 4 })] }, {}, []],
    [
      'of a later term, and of another still',
      { reported: [reported(2, { term: 6, holder: null }), reported(2, { term: 7 })] },
      {},
      ['contradiction 6/', 'contradiction 7/there'],
    ],
    ['detection is off', { reported: [reported(9)], quorum: { total: 9, present: 0 } }, null, []],
    ['just enough nodes', { quorum: { total: 100, present: 51 } }, {}, []],
    ['one too few', { quorum: { total: 100, present: 50 } }, {}, ['quorum_lost ']],
    ['half of two', { quorum: { total: 2, present: 1 } }, {}, ['quorum_lost ']],
    ['of nobody', { quorum: { total: 0, present: 0 } }, {}, []],
    ['no quorum is asked for', { quorum: { total: 9, present: 0 } }, { quorum: null }, []],
    [
      'of a role',
      { quorum: { total: 3, present: 1 } },
      { quorum: { ...QUORUM, role: 'core-mesh' } },
      ['quorum_lost core-mesh'],
    ],
    ['silence while nobody listens', { quorum: { total: 9, present: 0 }, isDeaf: true }, {}, []],
    ['silence of more than half at once', { quorum: { total: 40, present: 10 }, isBraked: true }, {}, []],
    [
      'reports count all the same',
      { reported: [reported(2)], isDeaf: true, isBraked: true },
      {},
      ['contradiction 5/there'],
    ],
  ])('%s', (_, sight, rules, expected) => {
    const found = findPartitions(rules === null ? null : { ...RULES, ...rules }, { ...CALM, ...sight });
    expect(found.map(({ kind, subject }) => `${kind} ${subject}`)).toEqual(expected);
  });

  it('by its quorum is found exactly where the share is below, and never the more nodes report', () => {
    const share = fc.integer({ min: 1, max: 100 });
    fc.assert(
      fc.property(fc.nat(500), fc.nat(500), share, (present, missing, minimumPercent) => {
        const at = (count: number) =>
          findPartitions(
            { minimumReporters: null, quorum: { ...QUORUM, minimumPercent } },
            { ...CALM, quorum: { total: present + missing, present: count } },
          ).length;
        const isBelow = present / (present + missing) < minimumPercent / 100 - 1e-9;
        expect(at(present)).toBe(present + missing > 0 && isBelow ? 1 : 0);
        if (missing > 0) expect(at(present + 1)).toBeLessThanOrEqual(at(present));
      }),
    );
  });

  it('is judged in every kind, or the kind is held', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.boolean(), (isDeaf, isBraked) => {
        const sight = {
          ...CALM,
          reported: [reported(2)],
          quorum: { total: 30, present: 1 },
          isDeaf,
          isBraked,
        };
        const kinds = [...findPartitions(RULES, sight).map(({ kind }) => kind), ...heldKinds(sight)];
        expect(kinds.sort()).toEqual(['contradiction', 'quorum_lost']);
      }),
    );
  });
});
