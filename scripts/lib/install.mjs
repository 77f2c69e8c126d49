import { rmSync, writeFileSync } from 'node:fs';
import { hashOf, inRoot, readText } from './project.mjs';
import { Failure, npmProgram, runNode } from './run.mjs';

const STAMP = inRoot('node_modules', '.fabric-stamp');

/** Installs the packages that `package-lock.json` names, unless they are there already. */
export async function ensureInstalled() {
  const machine = `node ${process.versions.node.split('.')[0]} ${process.platform}-${process.arch}`;
  const wanted = `${hashOf(['package-lock.json'])} ${machine}\n`;
  const stamp = readText(STAMP);
  if (stamp === wanted) return;
  // Somebody may have run npm by hand; npm notes what it installed, in the form of the lock file.
  if ((stamp === null || stamp.endsWith(` ${machine}\n`)) && isInstalledByHand()) {
    writeFileSync(STAMP, wanted);
    return;
  }
  console.log('Installing packages with npm ci.');
  rmSync(STAMP, { force: true });
  // NODE_ENV=production or omit=dev would leave out the compiler.
  const code = await runNode([
    npmProgram(),
    'ci',
    '--include=dev',
    '--include=optional',
    '--no-audit',
    '--no-fund',
    // Packages that want a newer Node fill the screen with warnings.
    '--loglevel=error',
  ]);
  if (code !== 0) throw new Failure(`npm ci failed with exit code ${code}; what it says is above.`);
  writeFileSync(STAMP, wanted);
}

/** Whether npm's own note agrees with the lock file; what is optional may be missing. */
function isInstalledByHand() {
  const [wanted, installed] = [
    packagesIn('package-lock.json'),
    packagesIn('node_modules/.package-lock.json'),
  ];
  if (wanted === null || installed === null) return false;
  return Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
    if (path === '') return true; // the project itself
    const found = installed[path];
    if (found === undefined) return optional === true;
    return found.version === version && found.integrity === integrity;
  });
}

function packagesIn(path) {
  const text = readText(inRoot(path));
  try {
    return text === null ? null : JSON.parse(text).packages;
  } catch {
    return null; // half-written by an npm that was killed
  }
}
