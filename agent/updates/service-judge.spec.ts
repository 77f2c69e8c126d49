import { describe, expect, it } from '@jest/globals';
import type { ServiceReport } from '../supervisor/service-report.js';
import { ServiceJudge, type Terms, type Verdict } from './service-judge.js';

const TERMS: Terms = { version: '2.0.0', deadline: 60_000, settleMs: 5_000, isNew: true };
const WELL: ServiceReport = {
  serviceType: 'relay-node',
  instanceId: '1',
  reportedState: 'running',
  version: '2.0.0',
  health: 'healthy',
  message: null,
};
const report = (change: Partial<ServiceReport> = {}): ServiceReport => ({ ...WELL, ...change });
const ended = (instanceId: string) =>
  report({ instanceId, reportedState: 'failed', health: 'unknown', message: 'ended with exit code 1' });
const ill = report({
  reportedState: 'degraded',
  health: 'unhealthy',
  message: 'the check ended with exit code 1',
});
const bad = (reason: string): Verdict => ({ kind: 'bad', reason });

/** The first verdict on reports that come a second apart. */
function verdict(reports: readonly (ServiceReport | null)[], terms: Partial<Terms> = {}): Verdict | null {
  const judge = new ServiceJudge({ ...TERMS, ...terms });
  for (const [index, each] of reports.entries()) {
    const found = judge.see(each, index * 1_000);
    if (found !== null) return found;
  }
  return null;
}
const times = (count: number, each: ServiceReport) => Array.from({ length: count }, () => each);

describe('the judge of a version', () => {
  it.each<[string, readonly (ServiceReport | null)[], Partial<Terms>, Verdict | null]>([
    ['says well once it has been so for long enough', times(6, WELL), {}, { kind: 'well' }],
    ['and not before', times(5, WELL), {}, null],
    [
      'begins anew when it was unwell in between',
      [...times(4, WELL), report({ reportedState: 'starting' }), ...times(5, WELL)],
      {},
      null,
    ],
    ['takes a check that says no for bad at once', [WELL, ill], {}, bad('the check ended with exit code 1')],
    [
      'gives one that was good its restart',
      [ill, ill, ...times(6, report({ instanceId: '2' }))],
      { isNew: false },
      { kind: 'well' },
    ],
    ['gives one that ends two more starts', [ended('1'), ended('2')], {}, null],
    ['and no third', [ended('1'), ended('2'), ended('3')], {}, bad('ended with exit code 1')],
    [
      'counts an end that it did not see',
      [WELL, report({ instanceId: '2' }), report({ instanceId: '3' }), report({ instanceId: '4' })],
      {},
      bad('it has not come up'),
    ],
    ['counts one end once, however often it is told', times(9, ended('1')), {}, null],
    ['does not take the old version for the new one', times(9, report({ version: '1.0.0' })), {}, null],
    [
      'waits no longer than it is told to',
      times(61, report({ version: '1.0.0' })),
      {},
      bad('it has not come up'),
    ],
    ['has nothing to say of what is not wanted', [null], {}, { kind: 'not_wanted' }],
  ])('%s', (_, reports, terms, wanted) => {
    expect(verdict(reports, terms)).toEqual(wanted);
  });
});
