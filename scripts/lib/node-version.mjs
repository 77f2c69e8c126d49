import { readFileSync } from 'node:fs';

/**
 * Whether this Node is new enough; says so in one line when it is not. Imported before anything else, and
 * written so that old versions can read it.
 */
export function isNodeNewEnough() {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const wanted = JSON.parse(text).engines.node.replace('>=', '');
  const [major, minor] = wanted.split('.').map(Number);
  const [ownMajor, ownMinor] = process.versions.node.split('.').map(Number);
  if (ownMajor > major || (ownMajor === major && ownMinor >= minor)) return true;
  console.error(
    `This needs Node ${wanted} or later, and this is Node ${process.versions.node}: https://nodejs.org`,
  );
  process.exitCode = 1;
  return false;
}
