import { describe, expect, it } from '@jest/globals';
import { REPORTED_STATES, type ReportedState } from '../nodes/workload-report.schema.js';
import type { WorkloadObstacle } from './workload-cover.js';
import { isInSync, type OutOfSyncReason, outOfSyncReason } from './workload-sync.js';

type Wanted = Parameters<typeof isInSync>[0];

const running: Wanted = { desiredState: 'running', version: null };
const stopped: Wanted = { desiredState: 'stopped', version: null };
const v2: Wanted = { desiredState: 'running', version: '2' };

/** What is reported: a state, and a version behind a slash. */
function seen(text: string): { reportedState: ReportedState; reportedVersion: string | null } {
  const [state = '', version = null] = text.split('/');
  return { reportedState: state as ReportedState, reportedVersion: version };
}

describe('a workload', () => {
  it.each<[string, Wanted, string, WorkloadObstacle | null, OutOfSyncReason | null]>([
    ['runs as wanted', running, 'running', null, null],
    ['is stopped as wanted', stopped, 'stopped', null, null],
    ['runs in any version where none is wanted', running, 'running/7', null, null],
    ['runs in the wanted version', v2, 'running/2', null, null],
    ['runs in another version', v2, 'running/1', null, 'version_differs'],
    ['does not say which version runs', v2, 'running', null, 'version_differs'],
    [
      'is stopped in another version',
      { desiredState: 'stopped', version: '2' },
      'stopped/1',
      null,
      'version_differs',
    ],
    [
      'has versions that differ in letters alone',
      { desiredState: 'running', version: 'v2' },
      'running/V2',
      null,
      'version_differs',
    ],
    ['is not reported', running, 'unknown', null, 'not_reported'],
    ['is wanted stopped and not reported', stopped, 'unknown', null, 'not_reported'],
    ['is starting', running, 'starting', null, 'in_transition'],
    ['is stopping', running, 'stopping', null, 'in_transition'],
    ['is stopping as wanted', stopped, 'stopping', null, 'in_transition'],
    ['is degraded', running, 'degraded', null, 'degraded'],
    ['is degraded in another version', v2, 'degraded/1', null, 'degraded'],
    ['has failed', running, 'failed', null, 'failed'],
    ['has failed instead of stopping', stopped, 'failed', null, 'failed'],
    ['cannot run there', running, 'unsupported', null, 'unsupported'],
    ['is stopped', running, 'stopped', null, 'state_differs'],
    ['still runs', stopped, 'running', null, 'state_differs'],
    [
      'runs in the version but should not',
      { desiredState: 'stopped', version: '2' },
      'running/2',
      null,
      'state_differs',
    ],
    ['is not wanted', null, 'running', null, 'not_desired'],
    ['is not wanted and may not run', null, 'stopped', 'role_not_effective', 'not_desired'],
    ['may not run, and is stopped', running, 'stopped', 'role_not_effective', 'role_not_effective'],
    ['may not run, and is not reported', running, 'unknown', 'membership_disabled', 'membership_disabled'],
    ['may not run, and is another version', v2, 'running/1', 'membership_revoked', 'membership_revoked'],
    ['may not run and runs as wanted', running, 'running', 'role_not_effective', null],
  ])('that %s', (_, desired, observed, obstacle, reason) => {
    expect(outOfSyncReason(desired, seen(observed), obstacle)).toBe(reason);
    expect(isInSync(desired, seen(observed))).toBe(reason === null);
  });

  it('is in sync with one reported state for each that can be wanted', () => {
    const fitting = (desired: Wanted) =>
      REPORTED_STATES.filter((reportedState) => isInSync(desired, { reportedState, reportedVersion: null }));
    expect([fitting(running), fitting(stopped), fitting(null)]).toEqual([['running'], ['stopped'], []]);
  });
});
