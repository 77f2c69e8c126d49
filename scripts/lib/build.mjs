import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { hashOf, inRoot, ROOT, readText } from './project.mjs';
import { Failure, runNode } from './run.mjs';

/** Each stamp is removed before the work and written after it, so work that was killed is done again. */
const GENERATED_STAMP = inRoot('src', 'generated', '.stamp');
const BUILD_STAMP = inRoot('dist', '.stamp');
const SCHEMA = ['prisma/schema.prisma', 'prisma.config.ts', 'package-lock.json'];
/** What `npx` runs here by name. */
const COMMANDS = ['dist/src/admin.js', 'dist/src/release.js', 'dist/agent/main.js'];
const SOURCES = ['src', 'agent', 'tsconfig.json', 'tsconfig.build.json', 'scripts/lib/build.mjs', ...SCHEMA];

/** Whether the Prisma client is that of the present schema. */
export function isGenerated() {
  return readText(GENERATED_STAMP) === hashOf(SCHEMA);
}

/** Whether `dist` holds the service and the agent as compiled from the present sources, and in the present way. */
export function isBuilt() {
  return isComplete() && readText(BUILD_STAMP) === sourcesHash();
}

/** Compiles into `dist`, needed or not; makes the Prisma client when needed. */
export async function build() {
  console.log('Building.');
  const wanted = sourcesHash();
  // What the compiler noted of a build that did not finish is not to be relied on.
  if (!isComplete()) rmSync(inRoot('dist/.tsbuildinfo'), { force: true });
  rmSync(BUILD_STAMP, { force: true });
  if (!isGenerated()) generate();
  const code = await runNode([inRoot('node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json']);
  if (code !== 0) throw new Failure(`The build failed with exit code ${code}; what it says is above.`);
  // npx does so when it links them for the first time, and never again for what a later build has made.
  for (const path of COMMANDS) chmodSync(inRoot(path), 0o755);
  writeFileSync(BUILD_STAMP, wanted);
}

/** Makes the Prisma client, needed or not. */
export function generate() {
  const wanted = hashOf(SCHEMA);
  rmSync(GENERATED_STAMP, { force: true });
  // Prisma talks a lot when all is well, and asks home for news.
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [inRoot('node_modules/prisma/build/index.js'), 'generate'],
    {
      cwd: ROOT,
      encoding: 'utf8',
      env: { ...process.env, CHECKPOINT_DISABLE: '1', PRISMA_HIDE_UPDATE_MESSAGE: '1' },
    },
  );
  if (status !== 0) throw new Failure(`${stdout}${stderr}prisma generate failed; what it says is above.`);
  writeFileSync(GENERATED_STAMP, wanted);
}

function isComplete() {
  return (
    ['dist/src/main.js', ...COMMANDS].every((path) => existsSync(inRoot(path))) && existsSync(BUILD_STAMP)
  );
}

function sourcesHash() {
  // The generated client follows from the schema.
  return hashOf(SOURCES, (path) => path !== 'src/generated' && !path.endsWith('.spec.ts'));
}
