import { describe, expect, it } from '@jest/globals';
import { addressRangeText, isInRanges, readAddressRange } from './address-range.js';

const text = (range: string): string => {
  const read = readAddressRange(range);
  return 'fault' in read ? read.fault : addressRangeText(read);
};

describe('readAddressRange', () => {
  it.each([
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['192.0.2.7/32', '192.0.2.7/32'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['2001:DB8:0:0::/32', '2001:db8::/32'],
    ['2001:db8:0:0:0:0:0:1/128', '2001:db8::1/128'],
    ['64:ff9b::192.0.2.0/120', '64:ff9b::c000:200/120'],
    ['::/0', '::/0'],
  ])('takes %s as %s', (given, expected) => expect(text(given)).toBe(expected));

  it.each([
    ['10.0.0.1/8', 'The address has bits beyond /8.'],
    ['192.0.2.1/31', 'The address has bits beyond /31.'],
    ['2001:db8::1/64', 'The address has bits beyond /64.'],
    ['2001:db8:8000::/32', 'The address has bits beyond /32.'],
    ['10.0.0.0/33', 'The prefix of such a range is at most 32.'],
    ['::/129', 'The prefix of such a range is at most 128.'],
    ['::ffff:10.0.0.0/104', 'Write an IPv4 range as IPv4.'],
    ['::ffff:a00:0/104', 'Write an IPv4 range as IPv4.'],
  ])('refuses %s: %s', (given, fault) => expect(text(given)).toBe(fault));

  it.each([
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/08',
    '10.0.0/8',
    '010.0.0.0/8',
    '10.0.0.0/-1',
    'fe80::%eth0/64',
    'any',
    '/8',
    '',
  ])('does not take %p for a range', (given) => expect(text(given)).toMatch(/^Not a range/));
});

describe('isInRanges', () => {
  it.each<[string, string[], boolean]>([
    ['10.1.2.3', ['10.0.0.0/8'], true],
    ['11.0.0.0', ['10.0.0.0/8'], false],
    ['10.1.2.3', ['192.0.2.0/24', '10.1.2.3/32'], true],
    ['::ffff:10.1.2.3', ['10.0.0.0/8'], true],
    ['::FFFF:11.0.0.1', ['10.0.0.0/8'], false],
    ['2001:db8::7', ['2001:db8::/32'], true],
    ['2001:db9::7', ['2001:db8::/32'], false],
    ['fe80::1%eth0', ['fe80::/10'], true],
    ['10.1.2.3', ['::/0'], false],
    ['::ffff:10.1.2.3', ['::/0'], false],
    ['2001:db8::7', ['0.0.0.0/0'], false],
    ['10.1.2.3', [], false],
    ['not an address', ['0.0.0.0/0', '::/0'], false],
  ])('%s in %p: %p', (ip, ranges, expected) => expect(isInRanges(ip, ranges)).toBe(expected));
});
