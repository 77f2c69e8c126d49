import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DER, der, derInteger, firstElement } from './der.js';

describe('DER', () => {
  it.each<[number, string]>([
    [0, '020100'],
    [127, '02017f'],
    [128, '02020080'],
    [256, '02020100'],
    [2 ** 53 - 1, '02071fffffffffffff'],
  ])('writes the integer %d', (value, hex) => expect(derInteger(value).toString('hex')).toBe(hex));

  it.each<[number, string]>([
    [127, '307f'],
    [128, '308180'],
    [255, '3081ff'],
    [256, '30820100'],
  ])('writes a length of %d', (length, header) => {
    const value = der(DER.sequence, Buffer.alloc(length));
    expect(value.subarray(0, header.length / 2).toString('hex')).toBe(header);
  });

  it('finds the first element of what it wrote, whatever its length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 700 }), fc.uint8Array({ maxLength: 300 }), (one, other) => {
        const first = der(DER.sequence, one);
        expect(firstElement(der(DER.sequence, first, der(DER.integer, other)))).toEqual(first);
      }),
    );
  });

  it('refuses what is cut off, has no length or says more than there is', () => {
    const value = der(DER.sequence, der(DER.sequence, Buffer.alloc(10)), derInteger(5));
    for (const cut of [0, 1, 2, 3, 8, value.length - 1])
      expect(() => firstElement(value.subarray(0, cut))).toThrow();
    expect(() => firstElement(Buffer.from('3080300000', 'hex'))).toThrow('not a DER value');
    expect(() => firstElement(Buffer.from('30023009', 'hex'))).toThrow('not a DER value');
  });
});
