import { describe, expect, it } from '@jest/globals';
import { evaluateFilter } from './evaluate-filter.js';
import { parseFilter } from './parse-filter.js';

const node: Record<string, unknown> = {
  name: 'exit-1',
  empty: '',
  health: 'online',
  cpuCount: 4,
  disabled: false,
  lastSeenAt: new Date('2026-01-01T00:00:00Z'),
  labels: { site: 'msk' },
  'labels.site': 'msk',
  roles: new Set(['vpn-exit']),
  capabilities: ['can_route_mesh'],
  none: [],
  absent: null,
};

describe('evaluateFilter', () => {
  it.each<[string, boolean]>([
    ['name = "exit-1"', true],
    ['name = "EXIT-1"', false],
    ['name != "exit-2"', true],
    ['name:xit', true],
    ['name:XIT', false],
    ['name > a', false],
    ['cpuCount = 4.0', true],
    ['cpuCount > 3', true],
    ['cpuCount >= 5', false],
    ['cpuCount < 4', false],
    ['cpuCount <= 4', true],
    ['cpuCount = four', false],
    ['cpuCount:4', false],
    ['disabled = false', true],
    ['disabled != false', false],
    ['lastSeenAt < 2026-01-01T00:00:01Z', true],
    ['lastSeenAt = 2026-01-01T03:00:00+03:00', true],
    ['lastSeenAt > yesterday', false],
    ['labels.site = msk', true],
    ['labels.site:*', true],
    ['labels.rack:*', false],
    ['labels.rack != r1', true],
    ['labels:site', true],
    ['labels:toString', false],
    ['labels:*', true],
    ['roles = "vpn-exit"', true],
    ['roles:"vpn-exit"', true],
    ['roles != "vpn-exit"', false],
    ['roles < "vpn-exit"', false],
    ['capabilities:can_route_mesh', true],
    ['capabilities:can_run', false],
    ['none:*', false],
    ['roles:*', true],
    ['empty:*', true],
    ['lastSeenAt:*', true],
    ['absent:*', false],
    ['absent = x', false],
    ['NOT absent = x', true],
    ['absent < 1 OR unknown > 1', false],
    ['health = online AND labels.site = spb OR cpuCount = 4', true],
    ['(health = offline AND cpuCount = 4) OR name = x', false],
    ['-(health = offline)', true],
  ])('%s is %s', (text, passes) => {
    expect(evaluateFilter(parseFilter(text), (path) => node[path.join('.')])).toBe(passes);
  });
});
