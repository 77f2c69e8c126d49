import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  type CertificateStatus,
  certificateStatus,
  newSerial,
  renewalWindow,
  validity,
} from './certificate.js';

const now = new Date('2026-11-23T08:00:00.750Z');
const seconds = (amount: number) => new Date(Date.parse('2026-11-23T08:00:00Z') + amount * 1000);
const decade = new Date('2036-11-20T08:00:00Z');

describe('a serial', () => {
  it('is 32 hexadecimal digits, and another each time', () => {
    const serials = Array.from({ length: 500 }, newSerial);
    expect(serials.filter((serial) => !/^(?!00)[0-9A-F]{32}$/.test(serial))).toEqual([]);
    expect(new Set(serials).size).toBe(500);
  });
});

describe('the validity of a certificate', () => {
  it('begins five minutes ago and ends after the lifetime, in whole seconds', () => {
    expect(validity(now, 86_400, decade)).toEqual({ notBefore: seconds(-300), notAfter: seconds(86_400) });
  });

  it('ends with the authority', () => {
    expect(validity(now, 86_400, seconds(60)).notAfter).toEqual(seconds(60));
  });
});

describe('the renewal of a certificate', () => {
  it('falls between two thirds of the lifetime and a tenth later, whatever the serial', () => {
    const serial = fc.string({ unit: fc.constantFrom(...'0123456789ABCDEF'), minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(serial, fc.integer({ min: 10, max: 86_400 }), (text, lifetime) => {
        const { start, end, renewAfter } = renewalWindow({
          serial: text,
          issuedAt: seconds(0),
          notAfter: seconds(lifetime),
        });
        expect(start.getTime() - seconds(0).getTime()).toBe(Math.floor((lifetime * 2000) / 3));
        expect(renewAfter >= start && renewAfter <= end && end < seconds(lifetime)).toBe(true);
      }),
    );
  });

  it('is spread by the serial', () => {
    const at = (tail: string) =>
      renewalWindow({ serial: `${'A'.repeat(24)}${tail}`, issuedAt: seconds(0), notAfter: seconds(86_400) })
        .renewAfter;
    expect(at('00000000')).toEqual(seconds(57_600));
    expect(at('80000000')).toEqual(seconds(57_600 + 4_320));
  });
});

describe('the status of a certificate', () => {
  it.each<[string, { revokedAt: Date | null; notAfter: Date }, CertificateStatus]>([
    ['in time', { revokedAt: null, notAfter: seconds(1) }, 'active'],
    ['ends exactly now', { revokedAt: null, notAfter: now }, 'expired'],
    ['revoked', { revokedAt: now, notAfter: seconds(1) }, 'revoked'],
    ['revoked before it ended', { revokedAt: seconds(-10), notAfter: seconds(-5) }, 'revoked'],
  ])('%s', (_, certificate, status) => expect(certificateStatus(certificate, now)).toBe(status));
});
