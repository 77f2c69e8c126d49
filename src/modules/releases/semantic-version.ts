import { compare, parse, Range, type SemVer, satisfies } from 'semver';

const MAX_LENGTH = 128;
/**
 * SemVer 2.0.0 with the numbers that can be compared exactly: the library takes a `v` before them and white space around
 * them, and numbers of a pre-release that no double holds.
 */
const NUMBER = '(?:0|[1-9][0-9]{0,14})';
const PRE_RELEASE = `(?:${NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)`;
const BUILD = '[0-9A-Za-z-]+';
const VERSION = new RegExp(
  `^${NUMBER}\\.${NUMBER}\\.${NUMBER}(?:-${PRE_RELEASE}(?:\\.${PRE_RELEASE})*)?(?:\\+${BUILD}(?:\\.${BUILD})*)?$`,
);

/** Pre-releases count as the versions that they are: a node on 2.0.0-rc.1 is in `>=1.0.0`. */
const RANGE_OPTIONS = { includePrerelease: true } as const;

/** Whether `text` is a version of SemVer 2.0.0, written as the standard writes it. */
export function isVersion(text: string): boolean {
  return text.length <= MAX_LENGTH && VERSION.test(text);
}

/** Below 0: `one` comes before `other`; 0: they are equal in precedence, whatever their build metadata says.
 *  @throws TypeError when either is no version */
export function compareVersions(one: string, other: string): number {
  return compare(read(one), read(other));
}

/** Whether a version lies in a range as npm writes them, pre-releases included. */
export function isInRange(version: string, range: string): boolean {
  return satisfies(read(version), range, RANGE_OPTIONS);
}

/** Whether `text` can be read as a range of versions. */
export function isRange(text: string): boolean {
  if (text.trim() === '' || text.length > MAX_LENGTH) return false;
  try {
    new Range(text, RANGE_OPTIONS);
    return true;
  } catch {
    return false;
  }
}

function read(text: string): SemVer {
  const version = isVersion(text) ? parse(text) : null;
  if (version === null) throw new TypeError(`${text} is no version`);
  return version;
}
