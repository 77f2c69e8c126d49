import type { Api } from '../api.js';
import { created } from '../given.js';
import { migrationOf, Publisher, testFile } from '../publisher.js';
import { FLOOR, HOTFIX, NEW, OLD } from './host.js';
import { isThere } from './pin-truth.js';
import type { Setup } from './world.js';

/** A product with its versions, approved, and the digest of the file for each platform and version. */
export async function publishBoth(
  api: Api,
  { platforms, downgradePossible, hasFloor = false, pinApprovals }: Setup,
): Promise<{ publisher: Publisher; files: Map<string, Map<string, string>> }> {
  const publisher = await Publisher.make(api, { kind: 'node-agent' });
  const files = new Map<string, Map<string, string>>();
  const stops = hasFloor ? [FLOOR] : [];
  const later = pinApprovals === undefined ? [] : [HOTFIX];
  for (const version of [OLD, ...stops, NEW, ...later]) {
    const supported = [...new Set(platforms), ...LATER_PLATFORMS[version === HOTFIX ? 1 : 0]];
    const made = [...new Set(supported)]
      .filter((platform) => isThere(version, platform))
      .map((platform) => artifactFor(platform, version));
    const artifacts = made.map(({ artifact }) => artifact);
    const migration = migrationOf(testFile(), { downgradePossible: false });
    const migrations = version >= NEW && !downgradePossible ? [migration] : [];
    const isBehind = version >= NEW && hasFloor;
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

/** A release has one file at least. */
const LATER_PLATFORMS = [[], ['linux/x64']] as const;

function artifactFor(platform: string, version: string) {
  const [os, arch] = platform.split('/');
  const { sha256, size, bytes } = testFile();
  const fileName = `${version}-${os}-${arch}.tar.gz`;
  const artifact = { os, arch, sha256, size, mediaType: 'application/gzip', fileName };
  return { platform, artifact, bytes };
}
