import { rmSync, writeFileSync } from 'node:fs';
import { hashOf, inRoot, readText } from './project.mjs';
import { Failure, npmProgram, runNode } from './run.mjs';

const STAMP = inRoot('node_modules', '.fabric-stamp');
const MACHINE = `node ${process.versions.node.split('.')[0]} ${process.platform}-${process.arch}`;

/** Whether the packages that `package-lock.json` names are there, installed for this Node. */
export function isInstalled() {
  return readText(STAMP) === wantedStamp();
}

/** Installs them. */
export async function install() {
  const stamp = readText(STAMP);
  // Somebody may have run npm by hand; npm notes what it installed, in the form of the lock file.
  const isOtherMachine = stamp !== null && !stamp.endsWith(` ${MACHINE}\n`);
  if (!isOtherMachine && isInstalledByHand()) {
    writeFileSync(STAMP, wantedStamp());
    return;
  }
  console.log('Installing packages with npm ci.');
  rmSync(STAMP, { force: true });
  const code = await runNode([
    npmProgram(),
    'ci',
    // NODE_ENV=production or omit=dev would leave out the compiler.
    '--include=dev',
    '--include=optional',
    '--no-audit',
    '--no-fund',
    // Packages that want a newer Node fill the screen with warnings.
    '--loglevel=error',
  ]);
  if (code !== 0) throw new Failure(`npm ci failed with exit code ${code}; what it says is above.`);
  writeFileSync(STAMP, wantedStamp());
}

function wantedStamp() {
  return `${hashOf(['package-lock.json'])} ${MACHINE}\n`;
}

/** Whether npm's own note agrees with the lock file; what is for other machines may be missing. */
function isInstalledByHand() {
  const [wanted, installed] = [
    packagesIn('package-lock.json'),
    packagesIn('node_modules/.package-lock.json'),
  ];
  if (wanted === null || installed === null) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true; // the project itself
    const found = installed[path];
    if (found === undefined) return entry.optional === true && isForOthers(entry);
    return found.version === entry.version && [undefined, found.integrity].includes(entry.integrity);
  });
}

/** Where the C library matters both variants are listed, and one is missing on any machine. */
function isForOthers({ os, cpu, libc }) {
  const isHere = (os?.includes(process.platform) ?? true) && (cpu?.includes(process.arch) ?? true);
  return !isHere || libc !== undefined;
}

function packagesIn(path) {
  const text = readText(inRoot(path));
  try {
    return text === null ? null : JSON.parse(text).packages;
  } catch {
    return null; // half-written by an npm that was killed
  }
}
