import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { ASSIGNMENT_STATES, type AssignmentState, mayBecome } from './assignment-state.js';
import { NODE_UPDATE_STATES, type NodeUpdateState } from './node-update.js';
import { acceptReport, type ReportedUpdate, type UpdateReport } from './update-report.js';

const known = (state: AssignmentState, nodeState: NodeUpdateState, isStop = false): ReportedUpdate => ({
  state,
  nodeState,
  isStop,
  epoch: 2,
  attempt: 1,
  sequence: 5,
  retriesLeft: 0,
});
const retrying = (state: AssignmentState, nodeState: NodeUpdateState): ReportedUpdate => ({
  ...known(state, nodeState),
  retriesLeft: 1,
});
const report = (state: NodeUpdateState, change: Partial<UpdateReport> = {}): UpdateReport => ({
  state,
  epoch: 2,
  attempt: 1,
  sequence: 6,
  ...change,
});

describe('a report of a node', () => {
  it.each<[string, ReportedUpdate, UpdateReport, readonly string[]]>([
    [
      'prepares without a slot',
      known('offered', 'verifying'),
      report('staging'),
      ['accepted', 'offered', 'keep'],
    ],
    [
      'goes out of service with one',
      known('granted', 'staging'),
      report('starting'),
      ['accepted', 'applying', 'keep'],
    ],
    ['does not go without one', known('offered', 'staging'), report('starting'), ['invalid']],
    [
      'gives its slot back when it runs',
      known('health', 'promoting'),
      report('running'),
      ['accepted', 'ok', 'release'],
    ],
    [
      'goes on from a stop on its way',
      known('health', 'promoting', true),
      report('running'),
      ['accepted', 'planned', 'release'],
    ],
    [
      'gives it back when it has gone back',
      known('health', 'rolling_back'),
      report('rolled_back'),
      ['accepted', 'rolled_back', 'release'],
    ],
    [
      'keeps it when it cannot get back',
      known('health', 'rolling_back'),
      report('fenced'),
      ['accepted', 'fenced', 'take'],
    ],
    [
      'keeps it while it goes back',
      known('applying', 'starting'),
      report('rollback_required'),
      ['accepted', 'applying', 'keep'],
    ],
    [
      'fails before anything happened',
      known('offered', 'downloading'),
      report('failed'),
      ['accepted', 'failed', 'release'],
    ],
    [
      'keeps its offer when it fails and may try again',
      retrying('offered', 'downloading'),
      report('failed'),
      ['accepted', 'offered', 'release'],
    ],
    [
      'gives its slot back when it fails and may try again',
      retrying('granted', 'staging'),
      report('failed'),
      ['accepted', 'offered', 'release'],
    ],
    [
      'does not fetch again what was not what was signed',
      retrying('offered', 'verifying'),
      report('failed'),
      ['accepted', 'failed', 'release'],
    ],
    ['takes up what failed', retrying('offered', 'failed'), report('idle'), ['accepted', 'offered', 'keep']],
    [
      'turns bad after it was good',
      known('ok', 'running'),
      report('rollback_required'),
      ['accepted', 'ok', 'take'],
    ],
    [
      'has gone back after it was good',
      known('ok', 'rolling_back'),
      report('rolled_back'),
      ['accepted', 'rolled_back', 'release'],
    ],
    [
      'turns up again where it was',
      known('lost', 'starting'),
      report('health_checking'),
      ['accepted', 'health', 'keep'],
    ],
    [
      'turns up again before it began',
      known('lost', 'staging'),
      report('staging'),
      ['accepted', 'granted', 'keep'],
    ],
    [
      'may tell the same state again',
      known('applying', 'migrating'),
      report('migrating'),
      ['accepted', 'applying', 'keep'],
    ],
    ['leaves no step out', known('granted', 'staging'), report('running'), ['invalid']],
    ['does not come out of a fence by itself', known('fenced', 'fenced'), report('idle'), ['invalid']],
    ['is not asked any more', known('cancelled', 'staging'), report('starting'), ['invalid']],
    [
      'may give up what was cancelled',
      known('cancelled', 'staging'),
      report('idle'),
      ['accepted', 'cancelled', 'keep'],
    ],
    ['comes twice', known('applying', 'starting'), report('starting', { sequence: 5 }), ['repeated']],
    [
      'comes twice with something else',
      known('applying', 'starting'),
      report('health_checking', { sequence: 5 }),
      ['stale'],
    ],
    ['comes late', known('applying', 'starting'), report('migrating', { sequence: 4 }), ['stale']],
    [
      'is of an epoch that is over',
      known('lost', 'starting'),
      report('health_checking', { epoch: 1 }),
      ['stale'],
    ],
    [
      'is of an epoch that nobody gave',
      known('lost', 'starting'),
      report('health_checking', { epoch: 3 }),
      ['stale'],
    ],
    [
      'tries again from the beginning',
      known('offered', 'idle'),
      report('checking', { attempt: 2 }),
      ['accepted', 'offered', 'keep'],
    ],
    [
      'does not try again in the middle',
      known('offered', 'downloading'),
      report('checking', { attempt: 2 }),
      ['invalid'],
    ],
  ])('%s', (_, before, sent, expected) => {
    const outcome = acceptReport(before, sent);
    const rest = outcome.kind === 'accepted' ? [outcome.next.state, outcome.slot] : [];
    expect([outcome.kind, ...rest]).toEqual(expected);
  });

  it('uses up a retry each time that it fails, and once for a report that comes twice', () => {
    let update: ReportedUpdate = { ...known('offered', 'idle'), retriesLeft: 2 };
    const failures: AssignmentState[] = [];
    for (let attempt = 1; attempt <= 3; attempt++) {
      for (const state of ['checking', 'downloading', 'failed', 'failed', 'idle'] as const) {
        // The same attempt each time: what a node calls it gives it no more of them.
        const outcome = acceptReport(update, report(state, { sequence: update.sequence + 1 }));
        if (outcome.kind !== 'accepted') continue;
        update = outcome.next;
        if (state === 'failed') failures.push(update.state);
      }
    }
    expect(failures).toEqual(['offered', 'offered', 'offered', 'offered', 'failed', 'failed']);
    expect(update.retriesLeft).toBe(0);
  });

  it('changes nothing when it is sent again, and never leads where no assignment goes', () => {
    const before = fc.record({
      state: fc.constantFrom(...ASSIGNMENT_STATES),
      nodeState: fc.constantFrom(...NODE_UPDATE_STATES),
      isStop: fc.boolean(),
      epoch: fc.integer({ min: 1, max: 3 }),
      attempt: fc.integer({ min: 1, max: 3 }),
      sequence: fc.integer({ min: 0, max: 3 }),
      retriesLeft: fc.integer({ min: 0, max: 2 }),
    });
    const sent = fc.record({
      state: fc.constantFrom(...NODE_UPDATE_STATES),
      epoch: fc.integer({ min: 1, max: 3 }),
      attempt: fc.integer({ min: 1, max: 3 }),
      sequence: fc.integer({ min: 0, max: 5 }),
    });
    void fc.assert(
      fc.property(before, sent, (known, told) => {
        const outcome = acceptReport(known, told);
        if (outcome.kind !== 'accepted') return;
        expect(acceptReport(outcome.next, told).kind).toBe('repeated');
        const isStep = isPossible(known);
        if (isStep && outcome.next.state !== known.state)
          expect(mayBecome(known.state, outcome.next.state)).toBe(true);
      }),
      { numRuns: 5_000 },
    );
  });
});

/** States of node and assignment that reports can have brought about together. */
function isPossible({ state, nodeState }: ReportedUpdate): boolean {
  const fits: Partial<Record<AssignmentState, readonly NodeUpdateState[]>> = {
    offered: ['idle', 'checking', 'downloading', 'verifying', 'staging', 'failed'],
    granted: ['staging'],
    applying: ['migrating', 'starting', 'rollback_required', 'rolling_back'],
    health: ['health_checking', 'promoting', 'rollback_required', 'rolling_back'],
    ok: ['running', 'rollback_required', 'rolling_back'],
    failed: ['failed', 'idle'],
  };
  return fits[state]?.includes(nodeState) ?? false;
}
