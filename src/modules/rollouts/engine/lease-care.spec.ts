import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { departures, LEASE_REASONS, type ReadyNode } from './lease-care.js';

const now = new Date('2027-01-01T00:00:00Z');
const at = (seconds: number) => new Date(now.getTime() + seconds * 1_000);
const node = (name: string, reason: string | null = null, waitUntil: Date | null = null): ReadyNode => ({
  assignmentId: `assignment-${name}`,
  nodeId: name,
  reason,
  waitUntil,
});
const { waiting, noCandidate, overdue } = LEASE_REASONS;

describe('who goes out of service', () => {
  it.each<[string, readonly ReadyNode[], readonly string[], number, readonly string[], readonly string[]]>([
    ['goes without a lease', [node('a'), node('b')], [], 1, ['a'], []],
    ['hands its lease over first', [node('a')], ['a'], 1, [], ['a']],
    ['keeps nobody behind it while it waits', [node('a'), node('b')], ['a'], 1, ['b'], ['a']],
    ['waits, and is not asked again', [node('a', waiting, at(1))], ['a'], 1, [], []],
    ['goes when it holds none any more', [node('a', waiting, at(1))], [], 1, ['a'], []],
    [
      'goes when nobody else could have it',
      [node('a', noCandidate, at(9))],
      ['a'],
      1,
      [`a ${noCandidate}`],
      [],
    ],
    [
      'goes at the instant at which it has waited long enough',
      [node('a', waiting, now)],
      ['a'],
      1,
      [`a ${overdue}`],
      [],
    ],
    ['waits anew when the wait was of another time', [node('a', null, at(-9))], ['a'], 1, [], ['a']],
    [
      'asks no more of them than could go',
      [node('a'), node('b'), node('c')],
      ['a', 'b', 'c'],
      2,
      [],
      ['a', 'b'],
    ],
    ['counts those that wait among them', [node('a', waiting, at(1)), node('b')], ['a', 'b'], 1, [], []],
    ['goes with nobody when no slot is free', [node('a'), node('b')], ['b'], 0, [], []],
  ])('%s', (_, ready, bound, free, goes, begins) => {
    const { go, begin } = departures(ready, new Set(bound), free, now);
    expect(go.map(({ nodeId, reason }) => (reason === null ? nodeId : `${nodeId} ${reason}`))).toEqual(goes);
    expect(begin.map(({ nodeId }) => nodeId)).toEqual(begins);
  });

  it('are never more than may, and none of them holds a lease that somebody could still take in time', () => {
    const nodes = fc.uniqueArray(
      fc.record({
        name: fc.nat(20).map(String),
        reason: fc.constantFrom(null, waiting, noCandidate, 'offline'),
        until: fc.option(fc.integer({ min: -3, max: 3 })),
      }),
      { selector: ({ name }) => name },
    );
    const bound = fc.uniqueArray(fc.nat(20).map(String));
    void fc.assert(
      fc.property(nodes, bound, fc.nat(5), (made, holders, free) => {
        const ready = made.map(({ name, reason, until }) =>
          node(name, reason, until === null ? null : at(until)),
        );
        const { go, begin } = departures(ready, new Set(holders), free, now);
        expect(go.length).toBeLessThanOrEqual(free);
        expect(begin.length).toBeLessThanOrEqual(free);
        for (const { nodeId, reason } of go) {
          const known = ready.find((each) => each.nodeId === nodeId);
          const isLate = known?.waitUntil != null && known.waitUntil <= now;
          if (!holders.includes(nodeId)) continue;
          expect([noCandidate, overdue]).toContain(reason);
          expect(known?.reason === noCandidate || (known?.reason === waiting && isLate)).toBe(true);
        }
        const free1 = ready.filter(({ nodeId }) => !holders.includes(nodeId)).length;
        expect(go.length).toBeGreaterThanOrEqual(Math.min(free, free1));
      }),
    );
  });
});
