import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { create } from 'tar';
import { created } from './given.js';
import { migrationOf, type Publisher, type TestFile, testFile } from './publisher.js';

/** A service that says its version and stays; its own check says whether it is well. */
export interface ServiceRelease {
  version: string;
  isWell?: boolean | 'unless_weak';
  /** Brings a migration that notes what is asked of it in `$NOTES`; its preflight says no once for each host that has a
   *  file `not-ready` beside its notes. */
  migration?: { id: string; downgradePossible?: boolean; backupRequired?: boolean };
}

/** The command of a service's own health check, as definition and workload name it. */
export const OWN_CHECK = ['./bin/check'];

/** A host is weak that has a file of this name beside its notes. */
const CHECKS: Readonly<Record<string, string>> = {
  true: 'exit 0',
  false: 'exit 1',
  unless_weak: '[ ! -e "$(dirname "$NOTES")/weak" ]',
};

/** A gzipped archive of these files, each a program. */
export async function archiveOf(files: Readonly<Record<string, string>>): Promise<TestFile> {
  const folder = await mkdtemp(join(tmpdir(), 'release-'));
  try {
    const content = join(folder, 'content');
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(content, name)), { recursive: true });
      await writeFile(join(content, name), text, { mode: 0o755 });
    }
    const archive = join(folder, 'release.tar.gz');
    await create({ gzip: true, portable: true, file: archive, cwd: content }, ['.']);
    return testFile(await readFile(archive));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const BUNDLE = `#!/bin/sh
echo "$RAP_MIGRATION_ID $1" >> "$NOTES"
[ "$1" != preflight ] || ! rm "$(dirname "$NOTES")/not-ready" 2> /dev/null
`;

/** Publishes, uploads and approves it. Returns its file. */
export async function releaseService(
  publisher: Publisher,
  { version, isWell = true, migration }: ServiceRelease,
): Promise<TestFile> {
  const file = await archiveOf({
    'bin/service': `#!/bin/sh\necho serving ${version}\nexec sleep 600\n`,
    'bin/check': `#!/bin/sh\n${CHECKS[String(isWell)]}\n`,
  });
  const bundle = testFile(Buffer.from(`${BUNDLE}# ${publisher.product}\n`));
  const migrations =
    migration === undefined ? [] : [migrationOf(bundle, { backupRequired: false, ...migration })];
  await publisher.publish(version, file, { migrations });
  created(await publisher.upload(version, file.bytes));
  for (const { id } of migrations)
    created(await publisher.api.put(publisher.path(version, `/migrations/${id}/bundle`), bundle.bytes));
  created(await publisher.api.post(publisher.path(version, '/approve')));
  return file;
}
