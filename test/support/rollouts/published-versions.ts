import type { Api } from '../api.js';
import { created } from '../given.js';
import { migrationOf, Publisher, testFile } from '../publisher.js';
import { FLOOR, NEW, OLD } from './host.js';
import type { Setup } from './world.js';

/** A product with its versions, approved, and the digest of the file for each platform and version. */
export async function publishBoth(
  api: Api,
  { platforms, downgradePossible, hasFloor = false }: Setup,
): Promise<{ publisher: Publisher; files: Map<string, Map<string, string>> }> {
  const publisher = await Publisher.make(api, { kind: 'node-agent' });
  const files = new Map<string, Map<string, string>>();
  for (const version of hasFloor ? [OLD, FLOOR, NEW] : [OLD, NEW]) {
    const made = [...new Set(platforms)].map((platform) => artifactFor(platform, version));
    const artifacts = made.map(({ artifact }) => artifact);
    const migration = migrationOf(testFile(), { downgradePossible: false });
    const migrations = version === NEW && !downgradePossible ? [migration] : [];
    const isBehind = version === NEW && hasFloor;
    const compatibility = isBehind ? { fromVersions: [`>=${FLOOR}`] } : {};
    await publisher.publish(version, testFile(), { artifacts, migrations, compatibility });
    for (const { platform, artifact, bytes } of made) {
      created(await publisher.upload(version, bytes, platform));
      const known = files.get(platform) ?? new Map<string, string>();
      files.set(platform, known.set(version, artifact.sha256));
    }
    created(await api.post(publisher.path(version, '/approve')));
  }
  return { publisher, files };
}

function artifactFor(platform: string, version: string) {
  const [os, arch] = platform.split('/');
  const { sha256, size, bytes } = testFile();
  const fileName = `${version}-${os}-${arch}.tar.gz`;
  const artifact = { os, arch, sha256, size, mediaType: 'application/gzip', fileName };
  return { platform, artifact, bytes };
}
