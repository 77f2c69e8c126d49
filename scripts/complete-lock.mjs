import { readFileSync, writeFileSync } from 'node:fs';

/**
 * Adds to `package-lock.json` the optional packages of other platforms that it lacks. npm leaves them out when
 * the registry in use does not have them, and then refuses its own file in `npm ci`. To be run after
 * `npm install` has changed the file.
 */
const file = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8'));

const SYSTEMS = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32'];
const PROCESSORS = ['arm64', 'arm', 'ia32', 'loong64', 'ppc64', 'riscv64', 's390x', 'x64'];

/** What the name tells, as each of these packages names its platform: `<tool>-<system>-<processor>-<libc>`. */
function platformOf(name, dev) {
  const words = name.split('/').at(-1).split('-');
  const os = SYSTEMS.filter((system) => words.includes(system));
  const cpu = PROCESSORS.filter((processor) => words.includes(processor));
  if (os.length !== 1 || cpu.length !== 1) return null;
  const last = words.at(-1);
  const libc = /^musl/.test(last) ? ['musl'] : /^gnu/.test(last) ? ['glibc'] : undefined;
  return { cpu, ...(dev && { dev }), ...(libc && { libc }), optional: true, os };
}

const added = {};
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const top = `node_modules/${name}`;
    if (lock.packages[top] !== undefined || lock.packages[`${path}/${top}`] !== undefined) continue;
    const platform = platformOf(name, entry.dev);
    // A range would need the registry; a name without a platform may be a package that is needed here.
    if (platform === null || !/^\d+\.\d+\.\d+[\w.-]*$/.test(version)) {
      throw new Error(
        `${name}@${version} is missing from package-lock.json and cannot be completed by name.`,
      );
    }
    added[top] = { version, ...platform };
  }
}

const names = Object.keys({ ...lock.packages, ...added }).sort((a, b) => a.localeCompare(b, 'en'));
lock.packages = Object.fromEntries(names.map((name) => [name, added[name] ?? lock.packages[name]]));
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`Added ${Object.keys(added).length} packages of other platforms to package-lock.json.`);
