import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { AuthorityState } from './authority-transition.js';
import {
  judgeFindings,
  type KnownPartition,
  type PartitionFinding,
  type PartitionKind,
} from './partition.js';

const STATES: readonly AuthorityState[] = [
  'authoritative',
  'degraded',
  'partitioned',
  'recovering',
  'fenced',
];
const then = new Date('2026-11-28T12:00:00.000Z');
const finding = (subject: string, kind: PartitionKind = 'contradiction'): PartitionFinding => ({
  kind,
  subject,
  evidence: {},
});
const known = (subject: string, more: Partial<KnownPartition> = {}): KnownPartition => ({
  id: `id of ${subject}`,
  kind: 'contradiction',
  subject,
  since: then,
  clearedAt: null,
  resolvedAt: null,
  ...more,
});
const subjects = (list: readonly { subject: string }[]) => list.map(({ subject }) => subject);
interface Judged {
  opens: string[];
  returns: string[];
  clears: string[];
  moves: boolean;
}
const judge = (...args: Parameters<typeof judgeFindings>): Judged => {
  const { opens, returns, clears, moves } = judgeFindings(...args);
  return { opens: subjects(opens), returns: subjects(returns), clears: subjects(clears), moves };
};
const NOTHING: Judged = { opens: [], returns: [], clears: [], moves: false };

describe('what is found of a partition', () => {
  it.each<[AuthorityState, boolean, boolean]>([
    ['authoritative', true, true],
    ['degraded', true, true],
    ['partitioned', true, false],
    ['recovering', false, false],
    ['fenced', false, false],
  ])('in %s is written down: %s, and moves the authority: %s', (state, opens, moves) => {
    expect(judge(state, [finding('a')], [])).toEqual({ ...NOTHING, opens: opens ? ['a'] : [], moves });
  });

  it.each<[string, PartitionFinding[], KnownPartition[], Partial<Judged>]>([
    ['nothing, and nothing known', [], [], {}],
    ['what is written down and lasts', [finding('a')], [known('a')], {}],
    ['what is gone', [], [known('a')], { clears: ['a'] }],
    ['what is gone and was resolved', [], [known('a', { resolvedAt: then })], { clears: ['a'] }],
    ['what was gone already', [], [known('a', { clearedAt: then })], {}],
    ['what an operator has resolved while it lasted', [finding('a')], [known('a', { resolvedAt: then })], {}],
    [
      'what was gone and is back while open',
      [finding('a')],
      [known('a', { clearedAt: then })],
      { returns: ['a'] },
    ],
    ['another one beside it', [finding('a'), finding('b')], [known('a')], { opens: ['b'], moves: true }],
    [
      'the same subject of another kind',
      [finding('a', 'quorum_lost')],
      [known('a')],
      { opens: ['a'], clears: ['a'], moves: true },
    ],
  ])('%s', (_, findings, rows, expected) => {
    expect(judge('authoritative', findings, rows)).toEqual({ ...NOTHING, ...expected });
  });

  it('of a kind that could not be judged is neither found nor gone', () => {
    const rows = [known('a', { kind: 'quorum_lost' })];
    expect(judge('authoritative', [], rows, ['quorum_lost'])).toEqual(NOTHING);
    expect(judge('authoritative', [finding('b', 'quorum_lost')], rows, ['quorum_lost'])).toEqual(NOTHING);
  });

  it('never stands twice, moves only to less authority, and an operator is not overruled by what lasts', () => {
    const subject = fc.constantFrom<string[]>('a', 'b', 'c');
    const step = fc.oneof(
      fc.record({ act: fc.constant('look' as const), seen: fc.uniqueArray(subject) }),
      fc.record({ act: fc.constant('operator' as const), to: fc.constantFrom(...STATES) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let state: AuthorityState = 'authoritative';
        let rows: KnownPartition[] = [];
        /** Subjects that an operator has resolved and that have not been gone since. */
        const decided = new Set<string>();
        for (const [index, one] of steps.entries()) {
          if (one.act === 'operator') {
            state = one.to;
            if (state === 'partitioned' || state === 'fenced') continue;
            for (const row of rows) if (row.clearedAt === null) decided.add(row.subject);
            rows = rows.map((row) => ({ ...row, resolvedAt: row.resolvedAt ?? then }));
            continue;
          }
          const before = state;
          for (const gone of [...decided].filter((name) => !one.seen.includes(name))) decided.delete(gone);
          const { opens, returns, clears, moves } = judgeFindings(
            state,
            one.seen.map((name) => finding(name)),
            rows,
          );
          rows = rows.map((row) => {
            if (returns.includes(row)) return { ...row, clearedAt: null };
            return clears.includes(row) ? { ...row, clearedAt: then } : row;
          });
          rows.push(...opens.map(({ subject: name }) => known(name, { id: `${name} ${index}` })));
          if (moves) state = 'partitioned';
          expect(moves && before !== 'authoritative' && before !== 'degraded').toBe(false);
          for (const { subject: name } of [...opens, ...returns]) expect(decided.has(name)).toBe(false);
          for (const name of ['a', 'b', 'c']) {
            const ofName = rows.filter((row) => row.subject === name);
            expect(ofName.filter(({ clearedAt }) => clearedAt === null).length).toBeLessThanOrEqual(1);
            expect(ofName.filter(({ resolvedAt }) => resolvedAt === null).length).toBeLessThanOrEqual(1);
          }
          // What is seen and undecided does not go unnoticed where the authority could be abused.
          if (before === 'authoritative' && one.seen.some((name) => !decided.has(name)))
            expect(state === 'partitioned' || rows.some(({ resolvedAt }) => resolvedAt === null)).toBe(true);
        }
      }),
    );
  });
});
