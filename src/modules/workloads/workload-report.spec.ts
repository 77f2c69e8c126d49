import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { WorkloadReport } from '../nodes/workload-report.schema.js';
import {
  type KnownReport,
  MAX_UNDESIRED,
  markOf,
  mergeHeartbeat,
  mergeReport,
  said,
  saidOf,
} from './workload-report.js';

const node = { clusterId: 'c', nodeId: 'n' };
const key = { ...node, serviceType: 'vpn-exit' };
const start = new Date('2026-11-28T12:00:00.000Z');
const later = (ms: number) => new Date(start.getTime() + ms);
const report = (more: Partial<WorkloadReport> = {}): WorkloadReport => ({
  serviceType: 'vpn-exit',
  instanceId: 'A',
  reportedState: 'running',
  ...more,
});

/** What is known after reports, each one second after the one before; verdicts beside it. */
function told(reports: Partial<WorkloadReport>[], seconds = 1) {
  let known: KnownReport | null = null;
  const results = reports.map((more, index) => {
    const result = mergeReport(key, known, said(report(more)), later(index * seconds * 1_000));
    if (result.verdict === 'changed') known = result.next;
    return result;
  });
  return { known: known as KnownReport | null, results, verdicts: results.map(({ verdict }) => verdict) };
}

describe('a report', () => {
  it('that is the first one becomes what is known', () => {
    const { known, results } = told([{ version: '1', health: 'healthy', message: 'up' }]);
    expect(known).toEqual({
      ...key,
      isDesired: false,
      instanceId: 'A',
      reportedState: 'running',
      reportedVersion: '1',
      health: 'healthy',
      message: 'up',
      reportedAt: start,
      stateSince: start,
      instanceSince: start,
      pastInstanceIds: [],
    });
    expect(results).toMatchObject([{ transition: { previousState: 'unknown', reportedState: 'running' } }]);
  });

  it('that is repeated changes nothing', () => {
    const { known, verdicts } = told([{ version: '1' }, { version: '1' }]);
    expect([known?.reportedAt, verdicts]).toEqual([start, ['changed', 'same']]);
  });

  it.each<[string, Partial<WorkloadReport>]>([
    ['state', { reportedState: 'failed' }],
    ['version', { version: '2' }],
    ['health', { health: 'unhealthy' }],
    ['instance', { instanceId: 'B' }],
  ])('with another %s is a transition', (_, more) => {
    const { results } = told([{}, more]);
    expect(results[1]).toMatchObject({
      verdict: 'changed',
      transition: { occurredAt: later(1_000), previousState: 'running' },
    });
  });

  it('with another message is kept, and no transition', () => {
    const { known, results } = told([{ message: 'a' }, { message: 'b' }]);
    expect([known?.message, results[1]]).toEqual(['b', expect.objectContaining({ transition: null })]);
  });

  it('keeps since when the state holds, whatever else changes', () => {
    const { known } = told([{ reportedState: 'starting' }, {}, { health: 'healthy' }, { version: '3' }]);
    expect([known?.stateSince, known?.reportedAt]).toEqual([later(1_000), later(3_000)]);
  });

  it.each<[string, string[], string[]]>([
    ['of an instance that another took the place of', ['A', 'B', 'A'], ['changed', 'changed', 'late']],
    ['of one of several such', ['A', 'B', 'C', 'A', 'B'], ['changed', 'changed', 'changed', 'late', 'late']],
    ['of the instance that is there', ['A', 'B', 'B'], ['changed', 'changed', 'same']],
    [
      'of one that is remembered no more',
      [...'ABCDEFGHIJ', 'A'],
      Array.from({ length: 11 }, () => 'changed'),
    ],
    [
      'of one that is remembered still',
      [...'ABCDEFGHIJ', 'B'],
      [...Array.from({ length: 10 }, () => 'changed'), 'late'],
    ],
  ])('%s', (_, instances, verdicts) => {
    expect(told(instances.map((instanceId) => ({ instanceId }))).verdicts).toEqual(verdicts);
  });

  it('is late for five minutes, and true from then on', () => {
    const { known } = told([{ instanceId: 'A' }, { instanceId: 'B' }]);
    const late = (ms: number) => mergeReport(key, known, said(report()), later(1_000 + ms)).verdict;
    expect([late(299_999), late(300_000)]).toEqual(['late', 'changed']);
  });
});

describe('a heartbeat', () => {
  const known = (more: Partial<KnownReport> = {}): KnownReport => {
    const first = mergeReport(
      { ...node, serviceType: more.serviceType ?? 'vpn-exit' },
      null,
      said(report()),
      start,
    );
    if (first.verdict !== 'changed') throw new Error('the first report is news');
    return { ...first.next, isDesired: true, ...more };
  };
  const merge = (all: KnownReport[], ...reports: WorkloadReport[]) =>
    mergeHeartbeat(node, all, saidOf(reports), later(1_000));

  it('takes each report, and nothing where nothing is new', () => {
    const { written, transitions, removed, isComplete } = merge(
      [known()],
      report(),
      report({ serviceType: 'synthetic.echo' }),
    );
    expect(written.map(({ serviceType, isDesired }) => [serviceType, isDesired])).toEqual([
      ['synthetic.echo', false],
    ]);
    expect(transitions).toHaveLength(1);
    expect([removed, isComplete]).toEqual([[], true]);
  });

  it('says of a wanted workload that is missing that nothing is known of it, once', () => {
    const { written, silenced, transitions } = merge([known()]);
    expect([written, silenced]).toEqual([[], [key]]);
    expect(transitions).toMatchObject([
      { previousState: 'running', reportedState: 'unknown', instanceId: null, occurredAt: later(1_000) },
    ]);
    expect(merge([known({ reportedAt: null })]).silenced).toEqual([]);
  });

  it('lets go of a workload that nobody wants and that is missing', () => {
    expect(merge([known({ isDesired: false })])).toMatchObject({
      written: [],
      removed: [key],
      transitions: [],
    });
  });

  it('counts the last of several reports of one type', () => {
    const { written } = merge(
      [],
      report({ instanceId: 'A', reportedState: 'stopping' }),
      report({ instanceId: 'B' }),
    );
    expect(written).toMatchObject([{ instanceId: 'B', reportedState: 'running', pastInstanceIds: [] }]);
  });

  it('leaves out a late report and asks to be looked at again', () => {
    const moved = known({ instanceId: 'B', pastInstanceIds: ['A'], instanceSince: start });
    expect(merge([moved], report({ reportedState: 'failed' }))).toMatchObject({
      written: [],
      isComplete: false,
    });
  });

  it('brings workloads that nobody wants up to a number, those first that are known', () => {
    const stray = (index: number) => `stray-${index}`;
    const old = Array.from({ length: 5 }, (_, index) =>
      known({ serviceType: stray(100 + index), isDesired: false }),
    );
    const reports = [
      ...Array.from({ length: 40 }, (_, index) => report({ serviceType: stray(index) })),
      ...old.map(({ serviceType }) => report({ serviceType, reportedState: 'degraded' })),
      report({ reportedState: 'degraded' }),
    ];
    const { written, isComplete } = merge([...old, known()], ...reports);
    expect(written).toHaveLength(MAX_UNDESIRED + 1);
    expect(written.map(({ serviceType }) => serviceType)).toEqual(
      expect.arrayContaining([...old.map(({ serviceType }) => serviceType), 'vpn-exit']),
    );
    expect(isComplete).toBe(false);
  });

  it('taken in twice leads to the same, and a third time to nothing', () => {
    const type = fc.constantFrom('a', 'b', 'c');
    const any = fc.record({
      serviceType: type,
      instanceId: fc.constantFrom('A', 'B'),
      reportedState: fc.constantFrom('running' as const, 'failed' as const),
    });
    const wanted = fc.record({ serviceType: type, isDesired: fc.boolean() });
    const heartbeat = fc.uniqueArray(any, { selector: ({ serviceType }) => serviceType });
    fc.assert(
      fc.property(
        fc.uniqueArray(wanted, { selector: ({ serviceType }) => serviceType }),
        heartbeat,
        (rows, reports) => {
          const before = rows.map((row) => known({ ...row, instanceId: 'A' }));
          const once = merge(before, ...reports);
          const gone = [...once.removed, ...once.silenced, ...once.written].map(
            ({ serviceType }) => serviceType,
          );
          const then = [
            ...before.filter(({ serviceType }) => !gone.includes(serviceType)),
            ...once.silenced.map((each) => known({ ...each, reportedAt: null, reportedState: 'unknown' })),
            ...once.written,
          ];
          const { isComplete: _, ...twice } = merge(then, ...reports);
          expect(twice).toEqual({ written: [], silenced: [], removed: [], transitions: [] });
        },
      ),
    );
  });
});

describe('the mark of a heartbeat', () => {
  it('is the same whatever the order, and another for another content', () => {
    const [one, two] = [report(), report({ serviceType: 'synthetic.echo' })];
    const mark = (...reports: WorkloadReport[]) => markOf(saidOf(reports));
    expect(mark(one, two)).toBe(mark(two, one));
    const marks = [
      mark(),
      mark(one),
      mark(two),
      mark(one, two),
      mark(report({ instanceId: 'B' })),
      mark(report({ reportedState: 'failed' })),
      mark(report({ version: '1' })),
      mark(report({ health: 'healthy' })),
      mark(report({ message: 'healthy' })),
    ];
    expect(new Set(marks).size).toBe(marks.length);
    expect(marks.every(Number.isSafeInteger)).toBe(true);
  });
});
