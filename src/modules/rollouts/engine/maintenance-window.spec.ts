import { describe, expect, it } from '@jest/globals';
import { isTimeZone, isWindowOpen, type MaintenanceWindow } from './maintenance-window.js';

const night: MaintenanceWindow = { timeZone: 'Europe/Berlin', from: '22:00', to: '04:00' };

describe('a maintenance window', () => {
  it.each<[string, MaintenanceWindow[], string, boolean]>([
    ['is open at any time where none is named', [], '2027-06-01T12:00:00Z', true],
    ['opens by the clock of its zone in winter', [night], '2027-01-10T21:00:00Z', true],
    ['is shut a minute before', [night], '2027-01-10T20:59:59Z', false],
    ['opens an hour earlier of UTC in summer', [night], '2027-07-10T20:00:00Z', true],
    ['stays open over midnight', [night], '2027-01-11T02:59:59Z', true],
    ['ends at its instant', [night], '2027-01-11T03:00:00Z', false],
    ['opens on its days: Sunday evening', [{ ...night, days: ['sun'] }], '2027-01-10T22:00:00Z', true],
    ['belongs to the day on which it opened', [{ ...night, days: ['sun'] }], '2027-01-11T02:00:00Z', true],
    ['is shut on the evening of another day', [{ ...night, days: ['sun'] }], '2027-01-11T22:00:00Z', false],
    [
      'lasts a day where both ends are one',
      [{ ...night, from: '00:00', to: '00:00', days: ['mon'] }],
      '2027-01-11T12:00:00Z',
      true,
    ],
    [
      'opens in an hour that the clock leaves out, as soon as that is over',
      [{ ...night, from: '02:30', to: '03:30' }],
      '2027-03-28T01:10:00Z',
      true,
    ],
    [
      'is open where one of several is',
      [night, { timeZone: 'America/New_York', from: '07:00', to: '08:00' }],
      '2027-01-10T12:30:00Z',
      true,
    ],
  ])('%s', (_, windows, now, isOpen) => expect(isWindowOpen(windows, new Date(now))).toBe(isOpen));

  it('knows the zones of the world and no others', () => {
    expect(['Europe/Moscow', 'UTC', 'Asia/Kolkata'].every(isTimeZone)).toBe(true);
    expect(['Mars/Olympus', '', 'Europe/Berlin ', '+01:00', '-0530'].some(isTimeZone)).toBe(false);
  });
});
