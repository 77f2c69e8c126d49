import { describe, expect, it } from '@jest/globals';
import { ApiRefusal } from '../api-errors.js';
import { afterAnswer } from './report-answer.js';
import { moved, type UpdateRecord, type UpdateUnderWay } from './update-record.js';
import type { UpdateState } from './update-state.js';

const to = { version: '2.0.0', folder: '2.0.0_f' };
const underWay: UpdateUnderWay = {
  ...{ assignmentId: 'a', epoch: 3, toVersion: '2.0.0', sha256: 'f', state: 'idle', isReady: false },
  ...{
    attempt: 1,
    sequence: 0,
    serviceType: 's',
    from: null,
    to,
    artifact: null,
    maxBytes: 0,
    migrations: [],
  },
  ...{ isLetGo: false, begun: null, undone: [], done: [], hasBackup: false, isFinal: false, restarts: 0 },
  ...{ watchUntil: 0, message: null },
};
/** On its way through these states, of which none was heard yet. */
const through = (...states: UpdateState[]): UpdateRecord =>
  states.reduce((record, state) => moved(record, state), {
    ...{ version: 1, product: 'p', lastGood: null, applied: [], update: underWay, reports: [] },
  } as UpdateRecord);

const refused = (status: number, code: string, extensions: Record<string, unknown> = {}) => ({
  refusal: new ApiRefusal(status, code, 'Not so.', null, { extensions, retryAfterSeconds: null }),
});
const stale = (epoch: number, sequence: number) => refused(409, 'stale_report', { epoch, sequence });
/** The record after the answer to its first report, in short. */
function answered(record: UpdateRecord, answer: Parameters<typeof afterAnswer>[2]): unknown[] {
  const [first] = record.reports;
  if (first === undefined) throw new Error('nothing was reported');
  const { update, reports } = afterAnswer(record, first, answer);
  const left = reports.map(({ state, sequence }) => `${state} ${sequence}`);
  return [update && `${update.state} ${update.sequence}${update.isFinal ? ' final' : ''}`, left];
}
const preparing = through('checking', 'downloading');
const leaving = through('checking', 'downloading', 'verifying', 'staging', 'starting');
/** The same once all but the last report were heard. */
const lastOf = (record: UpdateRecord): UpdateRecord => ({ ...record, reports: record.reports.slice(-1) });
const failed = lastOf(through('checking', 'downloading', 'failed'));

describe('the answer to a report', () => {
  it.each<[string, UpdateRecord, Parameters<typeof afterAnswer>[2], unknown[]]>([
    ['that it was heard ends it', preparing, { phase: 'offered' }, ['downloading 2', ['downloading 2']]],
    ['of a failure leaves another try while it is offered', failed, { phase: 'offered' }, ['failed 3', []]],
    ['of a failure is the last word when nothing is', failed, { phase: null }, ['failed 3 final', []]],
    ['of a service that says no more is no last word', failed, { phase: undefined }, ['failed 3', []]],
    [
      'that later ones were heard gives all of them new numbers',
      preparing,
      stale(3, 7),
      ['downloading 9', ['checking 8', 'downloading 9']],
    ],
    [
      'that the same number was another one does, too',
      preparing,
      stale(3, 1),
      ['downloading 3', ['checking 2', 'downloading 3']],
    ],
    ['of another epoch ends what was being prepared', preparing, stale(4, 0), ['failed 2 final', []]],
    ['that there is none ends it, too', preparing, refused(404, 'not_found'), ['failed 2 final', []]],
    [
      'that a step cannot be leaves what comes after it',
      preparing,
      refused(422, 'invalid_transition', { phase: 'offered' }),
      ['downloading 2', ['downloading 2']],
    ],
    [
      'that it may not go yet lets it wait for its turn',
      lastOf(leaving),
      refused(422, 'invalid_transition', { phase: 'offered' }),
      ['staging 5', []],
    ],
    [
      'that it may not go at all gives it up',
      lastOf(leaving),
      refused(422, 'invalid_transition', { phase: null }),
      ['failed 5 final', []],
    ],
  ])('%s', (_, record, answer, expected) => expect(answered(record, answer)).toEqual(expected));

  it('takes nothing back from one that has been let go, and ends a fence that an operator has ended', () => {
    const gone = { ...lastOf(leaving), update: { ...underWay, state: 'starting' as const, isLetGo: true } };
    expect(answered(gone, stale(4, 0))).toEqual(['starting 0', []]);
    const fenced = { ...gone, update: { ...gone.update, state: 'fenced' as const } };
    expect(answered(fenced, stale(4, 0))).toEqual([null, []]);
    expect(answered(fenced, refused(422, 'invalid_transition'))).toEqual(['fenced 0', []]);
  });

  it('is nothing to another update', () => {
    const other = { ...preparing, update: { ...underWay, assignmentId: 'b', state: 'checking' as const } };
    expect(answered(other, stale(4, 0))).toEqual(['checking 0', []]);
  });
});
