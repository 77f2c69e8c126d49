import { parse } from 'semver';
import { isCount, isObject, isText } from '../json-values.js';
import { PRODUCT_NAME } from './release-pins.js';

/** A file by its content. */
export interface ContentId {
  /** Lower-case hexadecimal. */
  sha256: string;
  size: number;
}

/** What is installed on one kind of host. */
export interface ReleaseArtifact extends ContentId {
  os: string;
  arch: string;
  mediaType: string;
}

/** A change of a service's data that comes with a release. */
export interface ReleaseMigration {
  id: string;
  target: string;
  sourceVersion: string;
  targetVersion: string;
  /** In words of the bundle, which gets them as JSON. */
  preflight: unknown;
  rollback: unknown;
  backupRequired: boolean;
  downgradePossible: boolean;
  bundle: ContentId;
}

/** The members of a `rap.release_manifest.v1` that the agent acts on. */
export interface ReleaseManifest {
  product: string;
  version: string;
  artifacts: readonly ReleaseArtifact[];
  migrations: readonly ReleaseMigration[];
}

const SHA256 = /^[0-9a-f]{64}$/;
/** It names a folder here. SemVer has no other characters. */
const VERSION = /^[0-9A-Za-z.+-]{1,128}$/;
/** A file name that is a path on no system, and no device of Windows. */
const FILE_NAME =
  /^(?!(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$))(?!.*\.\.)[A-Za-z0-9](?:[A-Za-z0-9._+-]{0,198}[A-Za-z0-9_+-])?$/i;

/** Reads the payload of a verified envelope. @throws Error that says what is wrong */
export function parseManifest(value: unknown): ReleaseManifest {
  if (!isObject(value) || value.schema !== 'rap.release_manifest.v1')
    throw new Error('it is of another schema');
  const { product, version, artifacts, migrations = [] } = value;
  if (!isText(product) || !PRODUCT_NAME.test(product)) throw new Error('its product is no name of one');
  if (!isVersionName(version) || parse(version) === null) throw new Error('its version is none');
  if (!Array.isArray(artifacts) || !Array.isArray(migrations)) throw new Error('its files are no lists');
  return {
    product,
    version,
    artifacts: each(artifacts, parseArtifact, 'artifact', ({ os, arch }) => `${os}/${arch}`),
    migrations: each(migrations, parseMigration, 'migration', ({ id }) => id),
  };
}

/** Whether it can be a version, and the name of a folder. */
export function isVersionName(value: unknown): value is string {
  return isText(value) && VERSION.test(value) && !value.startsWith('.') && !value.includes('..');
}

function each<T>(
  values: unknown[],
  parse: (value: unknown) => T | null,
  what: string,
  name: (item: T) => string,
) {
  const items = values.map((value, index) => {
    const item = parse(value);
    if (item === null) throw new Error(`its ${what} ${index + 1} cannot be used`);
    return item;
  });
  const names = items.map(name);
  const twice = names.find((one, index) => names.indexOf(one) < index);
  if (twice !== undefined) throw new Error(`it has two ${what}s ${twice}`);
  return items;
}

function parseArtifact(value: unknown): ReleaseArtifact | null {
  const content = parseContent(value);
  if (content === null || !isObject(value)) return null;
  const { os, arch, mediaType, fileName } = value;
  if (!isText(os) || !isText(arch) || !isText(mediaType)) return null;
  return isText(fileName) && FILE_NAME.test(fileName) ? { os, arch, mediaType, ...content } : null;
}

function parseMigration(value: unknown): ReleaseMigration | null {
  if (!isObject(value)) return null;
  const { id, target, sourceVersion, targetVersion, backupRequired, downgradePossible } = value;
  const { preflight = null, rollback = null } = value;
  const bundle = parseContent(value.bundle);
  if (!isText(id) || !PRODUCT_NAME.test(id) || !isText(target) || bundle === null) return null;
  if (!isText(sourceVersion) || !isText(targetVersion)) return null;
  if (typeof backupRequired !== 'boolean' || typeof downgradePossible !== 'boolean') return null;
  const data = { id, target, sourceVersion, targetVersion, preflight, rollback };
  return { ...data, backupRequired, downgradePossible, bundle };
}

export function parseContent(value: unknown): ContentId | null {
  if (!isObject(value)) return null;
  const { sha256, size } = value;
  return isText(sha256) && SHA256.test(sha256) && isCount(size) ? { sha256, size } : null;
}
