import { dirname, resolve } from 'node:path';
import { verifyEnvelope } from '../modules/releases/envelope.js';
import { needed, pairs, parseOptions, say } from './command-line.js';
import { manifestOf, payloadDigest, readEnvelope } from './envelope-files.js';
import { Failure, UsageError } from './failure.js';
import { readPublicKey } from './key-files.js';
import { checkFiles, filesOf } from './local-files.js';

export const VERIFY_HELP = `fabric-release verify --envelope <envelope> --key <public key> ... [--threshold <n>]
                      [--files [--from <folder>] [--artifact <os>/<arch>=<file> ...] [--bundle <id>=<file> ...]]

  Holds the signatures against these keys, without any service. Every signature that names one of them must be by
  it, and <n> different ones must have signed (1 where it is not said). With --files the files are held against
  the manifest too. Ends with 1 when something is not as it should be.`;

export async function verifyCommand(args: readonly string[]): Promise<void> {
  const options = parseOptions(args, {
    envelope: { type: 'string' },
    key: { type: 'string', multiple: true },
    threshold: { type: 'string' },
    files: { type: 'boolean' },
    from: { type: 'string' },
    artifact: { type: 'string', multiple: true },
    bundle: { type: 'string', multiple: true },
  });
  const path = needed(options.envelope, 'envelope');
  if (options.key === undefined) throw new UsageError('--key is needed');
  const threshold = Number(options.threshold ?? '1');
  if (!Number.isInteger(threshold) || threshold < 1) throw new UsageError('--threshold is a number from 1');
  const envelope = await readEnvelope(path);
  const keys = await Promise.all(options.key.map(readPublicKey));
  const { signedBy, forged } = verifyEnvelope(
    envelope,
    keys.map(({ thumbprint, key }) => ({ keyId: thumbprint, key })),
  );
  if (forged.length > 0)
    throw new Failure(`a signature in the name of ${forged.join(', ')} is not by that key`);
  for (const keyId of signedBy) say(`signed by ${keyId}`);
  if (signedBy.length < threshold)
    throw new Failure(`${signedBy.length} of these keys have signed, and ${threshold} are wanted`);
  // Only now is what was signed looked into.
  const manifest = manifestOf(envelope);
  if (options.files === true) {
    const artifacts = pairs(options.artifact, 'artifact');
    const bundles = pairs(options.bundle, 'bundle');
    await checkFiles(
      filesOf(manifest, { artifacts, bundles, folder: options.from ?? dirname(resolve(path)) }),
    );
    say('the files are those of the manifest');
  }
  say(`${manifest.product} ${manifest.version} is good, manifest ${payloadDigest(envelope)}`);
}
