import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compareVersions, isInRange, isRange, isVersion } from './semantic-version.js';

describe('isVersion', () => {
  it.each([
    ['1.2.3', true],
    ['1.2.3-rc.1', true],
    ['1.2.3+build.7', true],
    ['1.2.3-rc.1+build.7', true],
    ['1.2.3-0a', true],
    ['1.2.3--', true],
    ['999999999999999.0.0', true],
    ['9999999999999999.0.0', false],
    ['1.2.3-9999999999999999', false],
    ['v1.2.3', false],
    ['=1.2.3', false],
    [' 1.2.3', false],
    ['1.2.3\n', false],
    ['1.2', false],
    ['01.2.3', false],
    ['1.2.3-01', false],
    ['1.2.3-', false],
    ['1.2.3+', false],
    ['1.2.3+a+b', false],
    [`1.2.3-${'a'.repeat(123)}`, false],
  ])('%j: %s', (text, is) => expect(isVersion(text)).toBe(is));
});

describe('isRange', () => {
  it.each([
    ['>=1.2.0 <2.0.0', true],
    ['^1.2.0 || ^2.0.0', true],
    ['*', true],
    ['', false],
    [' ', false],
    ['newer', false],
    ['>=1.2.0 <', false],
  ])('%j: %s', (text, is) => expect(isRange(text)).toBe(is));

  it('takes pre-releases as the versions that they are', () => {
    expect(isInRange('2.0.0-rc.1', '>=1.0.0')).toBe(true);
    expect(isInRange('2.0.0-rc.1', '>=2.0.0')).toBe(false);
  });
});

const version = fc
  .tuple(
    fc.nat(3),
    fc.nat(3),
    fc.constantFrom('', '-1', '-rc', '-rc.1', '-rc.2', '-rc.10'),
    fc.constantFrom('', '+a', '+b'),
  )
  .map(([minor, patch, pre, build]) => `1.${minor}.${patch}${pre}${build}`);

describe('compareVersions', () => {
  it('is an order in which build metadata says nothing', () => {
    fc.assert(
      fc.property(version, version, version, (one, two, three) => {
        expect(Math.sign(compareVersions(one, two))).toBe(-Math.sign(compareVersions(two, one)) + 0);
        if (compareVersions(one, two) <= 0 && compareVersions(two, three) <= 0)
          expect(compareVersions(one, three)).toBeLessThanOrEqual(0);
        expect(compareVersions(one, one.replace(/\+.*/, ''))).toBe(0);
      }),
    );
  });

  it('refuses what is no version', () => {
    expect(() => compareVersions('1.0', '1.0.0')).toThrow(TypeError);
  });
});
