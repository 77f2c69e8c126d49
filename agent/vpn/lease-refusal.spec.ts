import { expect, it } from '@jest/globals';
import { ApiRefusal, refusalFrom, ServerAway } from '../api-errors.js';
import { setbackOf } from './lease-refusal.js';

const now = new Date('2026-01-01T00:00:00Z');
const held = (inMs: number) =>
  refusalFrom(409, {
    code: 'lease_held',
    detail: 'held',
    expiresAt: new Date(now.getTime() + inMs).toISOString(),
  });

it.each<[string, Error, number, [number, number], string]>([
  ['waits for the end of another lease', held(4_000), 0, [4_000, 5_000], 'lease_required'],
  [
    'asks again before the end of a long one, which may be released',
    held(3_600_000),
    0,
    [10_000, 11_000],
    'lease_required',
  ],
  ['asks at once, spread out, for one that is over by now', held(-5), 0, [0, 1_000], 'lease_required'],
  [
    'waits long when it may not own the connection',
    new ApiRefusal(409, 'owner_not_eligible', 'no'),
    0,
    [15_000, 45_000],
    'blocked',
  ],
  [
    'waits long when the connection is not its own to see',
    new ApiRefusal(404, 'not_found', 'no'),
    0,
    [15_000, 45_000],
    'blocked',
  ],
  [
    'waits as long as a hold-off asks',
    refusalFrom(409, { code: 'takeover_held' }, 60),
    0,
    [60_000, 60_500],
    'lease_required',
  ],
  [
    'backs off without authority in the cluster',
    new ApiRefusal(409, 'cluster_not_authoritative', 'no'),
    3,
    [0, 4_000],
    'lease_required',
  ],
  ['backs off while the service is away', new ServerAway('ECONNREFUSED'), 2, [0, 2_000], 'unknown'],
  ['backs off from what it does not understand', new Error('odd'), 20, [0, 60_000], 'unknown'],
])('%s', (_, error, attempt, [least, most], status) => {
  for (const random of [0, 0.5, 0.999]) {
    const setback = setbackOf(error, attempt, now, random);
    expect(setback.status).toBe(status);
    expect(setback.waitMs).toBeGreaterThanOrEqual(least);
    expect(setback.waitMs).toBeLessThanOrEqual(most);
  }
});
