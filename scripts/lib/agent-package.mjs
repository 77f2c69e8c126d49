import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { create } from 'tar';
import { inRoot, ROOT } from './project.mjs';
import { Failure } from './run.mjs';

const AGENT = 'rap-node-agent';
/** What runs, and what its licences want to be with it; no maps, types, tests and pages. */
const WANTED = /(\.[cm]?js|^package\.json|^licen[cs]e[^/]*)$/i;
const IMPORT = /^(?:(?:import|export)\b[^;'"(]*\bfrom |import |.*\bimport\()['"]([^'".][^'"]*)['"]/gm;

/**
 * Packs the built agent with the packages that it needs, for every system on which Node runs. The same sources and the
 * same Node give the same bytes, so that whoever signs can hold a build of their own against it.
 * @param {{ out: string, version: string }} wish a folder, and what the agent is to say that it is
 * @returns {Promise<string>} the path of the package
 */
export async function packAgent({ out, version }) {
  const stage = await mkdtemp(join(tmpdir(), `${AGENT}-`));
  try {
    const about = { name: AGENT, version, type: 'module', bin: { [AGENT]: 'agent/main.js' } };
    await writeFile(join(stage, 'package.json'), `${JSON.stringify(about, null, 2)}\n`);
    const sources = await filesBelow(inRoot('dist', 'agent'));
    const packages = await packagesOf(sources);
    const files = [...sources, ...(await Promise.all(packages.map(filesBelow))).flat()];
    for (const file of files) {
      const path = relative(file.startsWith(inRoot('dist')) ? inRoot('dist') : ROOT, file);
      await mkdir(join(stage, dirname(path)), { recursive: true });
      await copyFile(file, join(stage, path));
    }
    await mkdir(out, { recursive: true });
    const file = join(out, `${AGENT}-${version}.tar.gz`);
    const names = (await filesBelow(stage)).map((path) => relative(stage, path));
    await create({ cwd: stage, file, gzip: true, portable: true, mtime: new Date(0) }, names.sort());
    return file;
  } finally {
    await rm(stage, { recursive: true, force: true });
  }
}

/** The wanted files below a folder, without packages inside of packages: those are found as such. */
async function filesBelow(folder) {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile() && WANTED.test(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((path) => folder.startsWith(tmpdir()) || !relative(folder, path).includes('node_modules'));
}

/** The folders of the packages that the sources import, and of those that these depend on. */
async function packagesOf(sources) {
  const found = new Set();
  const add = async (name, from) => {
    const folder = packageFolder(name, from);
    if (found.has(folder)) return;
    found.add(folder);
    const { dependencies = {} } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
    for (const needed of Object.keys(dependencies)) await add(needed, folder);
  };
  for (const source of sources)
    for (const [, specifier] of (await readFile(source, 'utf8')).matchAll(IMPORT))
      if (!specifier.startsWith('node:')) await add(nameIn(specifier), ROOT);
  return [...found].sort();
}

/** `@scope/name/path` -> `@scope/name` */
function nameIn(specifier) {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

/** Where Node finds the package from a folder. */
function packageFolder(name, from) {
  for (let folder = from; ; folder = dirname(folder)) {
    const found = join(folder, 'node_modules', name);
    if (existsSync(join(found, 'package.json'))) return found;
    if (folder === dirname(folder)) throw new Failure(`The package ${name} is not installed.`);
  }
}
