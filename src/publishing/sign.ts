import { access, readFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { parseStrictJson } from '../common/http/strict-json.js';
import type { Envelope } from '../modules/releases/envelope.js';
import { needed, pairs, parseOptions, say } from './command-line.js';
import {
  envelopeAround,
  manifestOf,
  payloadDigest,
  readEnvelope,
  signedBy,
  writeEnvelope,
} from './envelope-files.js';
import { Failure, UsageError } from './failure.js';
import { readPrivateKey } from './key-files.js';
import { checkFiles, contentOf, filesOf, mediaTypeOf } from './local-files.js';

export const SIGN_HELP = `fabric-release sign --out <envelope> --product <name> --version <version>
                    --artifact <os>/<arch>=<file> ... --key <private key> ...
                    [--migrations <json> --bundle <id>=<file> ...] [--compatibility <json>]
                    [--provenance <json>] [--notes <text file>]
fabric-release sign --envelope <envelope> --key <private key> ... [--artifact <os>/<arch>=<file> ...] [--bundle ...]

  The first form hashes the files, writes the manifest, and signs it. --migrations is a JSON array as in the
  manifest; the "bundle" of each is filled in from --bundle. The second form adds the signature of one more
  person to the same bytes; with --artifact and --bundle it first holds their own files against the manifest.
  An option that takes JSON takes the name of a file with it.`;

export async function signCommand(args: readonly string[]): Promise<void> {
  const options = parseOptions(args, {
    out: { type: 'string' },
    envelope: { type: 'string' },
    key: { type: 'string', multiple: true },
    product: { type: 'string' },
    version: { type: 'string' },
    artifact: { type: 'string', multiple: true },
    bundle: { type: 'string', multiple: true },
    migrations: { type: 'string' },
    compatibility: { type: 'string' },
    provenance: { type: 'string' },
    notes: { type: 'string' },
  });
  const { envelope: existing, key: keys = [], ...content } = options;
  if (keys.length === 0) throw new UsageError('--key is needed');
  const artifacts = pairs(content.artifact, 'artifact');
  const bundles = pairs(content.bundle, 'bundle');
  if (existing === undefined) {
    const out = needed(content.out, 'out');
    if (await exists(out))
      throw new Failure(`${out} is there already: sign it with --envelope, or remove it`);
    const envelope = envelopeAround(await newManifest(content, artifacts, bundles));
    await signAndWrite(envelope, keys, out);
    return;
  }
  const own = ['product', 'version', 'migrations', 'compatibility', 'provenance', 'notes'] as const;
  const stray = own.find((name) => content[name] !== undefined);
  if (stray !== undefined) throw new UsageError(`--${stray} is in the manifest of ${existing} already`);
  const envelope = await readEnvelope(existing);
  const places = { artifacts, bundles, folder: dirname(resolve(existing)) };
  const named = filesOf(manifestOf(envelope), places);
  const given = [...artifacts.values(), ...bundles.values()];
  const checked = named.filter(({ path }) => given.includes(path));
  if (checked.length !== given.length)
    throw new Failure('the manifest does not name every --artifact and --bundle');
  await checkFiles(checked);
  await signAndWrite(envelope, keys, content.out ?? existing);
}

interface ManifestOptions {
  product?: string | undefined;
  version?: string | undefined;
  migrations?: string | undefined;
  compatibility?: string | undefined;
  provenance?: string | undefined;
  notes?: string | undefined;
}

async function newManifest(
  options: ManifestOptions,
  artifacts: ReadonlyMap<string, string>,
  bundles: ReadonlyMap<string, string>,
): Promise<Record<string, unknown>> {
  const product = needed(options.product, 'product');
  const version = needed(options.version, 'version');
  if (artifacts.size === 0) throw new UsageError('--artifact is needed');
  const { compatibility, provenance, notes } = options;
  return {
    schema: 'rap.release_manifest.v1',
    product,
    version,
    artifacts: await Promise.all([...artifacts].map(([system, path]) => artifactOf(system, path))),
    compatibility: compatibility === undefined ? {} : await readJson(compatibility),
    migrations: await migrationsOf(options.migrations, bundles),
    ...(provenance === undefined ? {} : { provenance: await readJson(provenance) }),
    ...(notes === undefined ? {} : { notes: await readFile(notes, 'utf8') }),
  };
}

async function artifactOf(system: string, path: string): Promise<Record<string, unknown>> {
  const [os, arch] = system.split('/');
  return { os, arch, ...(await contentOf(path)), mediaType: mediaTypeOf(path), fileName: basename(path) };
}

async function migrationsOf(
  path: string | undefined,
  bundles: ReadonlyMap<string, string>,
): Promise<Record<string, unknown>[]> {
  const migrations = path === undefined ? [] : await readJson(path);
  if (!Array.isArray(migrations)) throw new Failure(`${path} is no array of migrations`);
  const ids = migrations.map((migration: { id?: unknown }) => migration.id);
  const stray = [...bundles.keys()].find((id) => !ids.includes(id));
  if (stray !== undefined) throw new UsageError(`--bundle names ${stray}, which is no migration`);
  return Promise.all(
    migrations.map(async (migration: Record<string, unknown>) => {
      const bundle = bundles.get(String(migration.id));
      return bundle === undefined ? migration : { ...migration, bundle: await contentOf(bundle) };
    }),
  );
}

/** Says what is signed before it is: nobody should have to sign what they have not seen. */
async function signAndWrite(unsigned: Envelope, keys: readonly string[], out: string): Promise<void> {
  const { product, version, artifacts } = manifestOf(unsigned);
  say(`${product} ${version}, manifest ${payloadDigest(unsigned)}`);
  for (const { os, arch, fileName, size, sha256 } of artifacts)
    say(`  ${os}/${arch} ${fileName} ${size} ${sha256}`);
  let envelope = unsigned;
  for (const path of keys) {
    const pair = await readPrivateKey(path);
    envelope = signedBy(envelope, pair);
    say(`signed by ${pair.publicKey.thumbprint}`);
  }
  await writeEnvelope(out, envelope);
  say(`${out} has ${envelope.signatures.length} signature(s)`);
}

async function readJson(path: string): Promise<unknown> {
  const bytes = await readFile(path);
  try {
    return parseStrictJson(bytes);
  } catch (cause) {
    throw new Failure(`${path}: ${(cause as Error).message}`, { cause });
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
