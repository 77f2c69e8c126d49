import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename, join } from 'node:path';
import type { ContentId } from '../modules/releases/artifact-store.js';
import type { ReleaseManifest } from '../modules/releases/manifest.schema.js';
import { Failure } from './failure.js';

const MEDIA_TYPES: Readonly<Record<string, string>> = {
  gz: 'application/gzip',
  tgz: 'application/gzip',
  zip: 'application/zip',
  zst: 'application/zstd',
  tar: 'application/x-tar',
};

/** A file of a release: what the manifest says of it, and where it lies. */
export interface LocalFile {
  /** Below the release's own path in the API. */
  resource: string;
  path: string;
  content: ContentId;
}

/** Where the files of a release lie: named one by one, or all in a folder. */
export interface FilePlaces {
  /** By `<os>/<arch>`. */
  artifacts: ReadonlyMap<string, string>;
  /** By the id of the migration. */
  bundles: ReadonlyMap<string, string>;
  folder: string;
}

/** Digest and size of a file, read once and never held whole. */
export async function contentOf(path: string): Promise<ContentId> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { sha256: hash.digest('hex'), size };
}

export function mediaTypeOf(path: string): string {
  return (
    MEDIA_TYPES[/\.([a-z0-9]+)$/.exec(basename(path).toLowerCase())?.[1] ?? ''] ?? 'application/octet-stream'
  );
}

/** The files that a manifest names. Where a place says nothing, they bear the names of the manifest. */
export function filesOf({ artifacts, migrations }: ReleaseManifest, places: FilePlaces): LocalFile[] {
  return [
    ...artifacts.map(({ os, arch, fileName, sha256, size }) => ({
      resource: `artifacts/${os}/${arch}`,
      path: places.artifacts.get(`${os}/${arch}`) ?? join(places.folder, fileName),
      content: { sha256, size },
    })),
    ...migrations.map(({ id, bundle }) => ({
      resource: `migrations/${id}/bundle`,
      path: places.bundles.get(id) ?? join(places.folder, `${id}.bundle`),
      content: bundle,
    })),
  ];
}

/** Holds the files against what was signed. @throws Failure naming the first that is another */
export async function checkFiles(files: readonly LocalFile[]): Promise<void> {
  for (const { path, content } of files) {
    const found = await contentOf(path);
    if (found.sha256 === content.sha256 && found.size === content.size) continue;
    throw new Failure(
      `${path} is not the file of the manifest: ${found.size} bytes with SHA-256 ${found.sha256}, not ${content.size} with ${content.sha256}`,
    );
  }
}
