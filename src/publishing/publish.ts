import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { needed, pairs, parseOptions, say } from './command-line.js';
import { manifestOf, payloadDigest, readEnvelope } from './envelope-files.js';
import { Failure, UsageError } from './failure.js';
import { checkFiles, filesOf } from './local-files.js';
import { expectDone, ServiceClient } from './service-client.js';

export const PUBLISH_HELP = `fabric-release publish --envelope <envelope> --url <service> [--token-file <file>]
                       [--from <folder>] [--artifact <os>/<arch>=<file> ...] [--bundle <id>=<file> ...]

  Publishes a signed release and uploads its files, which lie in --from under the names of the manifest (the
  folder of the envelope where it is not said), or where --artifact and --bundle say. The token is in the file,
  or in FABRIC_TOKEN. A publication that broke off goes on when it is called again.`;

export async function publishCommand(args: readonly string[]): Promise<void> {
  const options = parseOptions(args, {
    envelope: { type: 'string' },
    url: { type: 'string' },
    'token-file': { type: 'string' },
    from: { type: 'string' },
    artifact: { type: 'string', multiple: true },
    bundle: { type: 'string', multiple: true },
  });
  const path = needed(options.envelope, 'envelope');
  const url = needed(options.url, 'url');
  if (!URL.canParse(url) || !/^https?:/.test(url)) throw new UsageError('--url is an http or https URL');
  const client = new ServiceClient(url, await readToken(options['token-file']));
  const envelope = await readEnvelope(path);
  const manifest = manifestOf(envelope);
  const files = filesOf(manifest, {
    artifacts: pairs(options.artifact, 'artifact'),
    bundles: pairs(options.bundle, 'bundle'),
    folder: options.from ?? dirname(resolve(path)),
  });
  // Before anything is sent: a published version never changes.
  await checkFiles(files);
  const release = `/products/${manifest.product}/releases`;
  const own = `${release}/${encodeURIComponent(manifest.version)}`;
  const published = await client.post(release, await readFile(path));
  if (published.status === 409) await expectSame(client, own, payloadDigest(envelope));
  else expectDone(published);
  say(`${manifest.product} ${manifest.version} is published, manifest ${payloadDigest(envelope)}`);
  for (const file of files) {
    const stored = await client.upload(`${own}/${file.resource}`, file);
    expectDone(stored);
    say(`${file.resource} ${stored.status === 201 ? 'uploaded' : 'was there'} ${file.content.sha256}`);
  }
}

/** Goes on with a publication that is this one. @throws Failure when the version is another */
async function expectSame(client: ServiceClient, path: string, digest: string): Promise<void> {
  const existing = await client.get(path);
  if (existing.body?.manifestSha256 === digest) return;
  throw new Failure('this version is published already, with another manifest');
}

async function readToken(file: string | undefined): Promise<string> {
  const token = file === undefined ? process.env.FABRIC_TOKEN : (await readFile(file, 'utf8')).trim();
  if (!token) throw new UsageError('set FABRIC_TOKEN, or name a --token-file');
  return token;
}
