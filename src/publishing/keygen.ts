import { writeFile } from 'node:fs/promises';
import { needed, parseOptions, say } from './command-line.js';
import { Failure, UsageError } from './failure.js';
import { newPair, privatePem } from './key-files.js';

export const KEYGEN_HELP = `fabric-release keygen --out <file> [--type ed25519|p256]

  Makes a key that signs releases: <file> is the private key in PEM (mode 0600, encrypted where
  FABRIC_KEY_PASSPHRASE is set), <file>.pub.json the public key as a JWK, which is registered at the
  service, and <file>.pub.pem the same for other tools. No file that exists is touched.`;

export async function keygen(args: readonly string[]): Promise<void> {
  const options = parseOptions(args, { out: { type: 'string' }, type: { type: 'string' } });
  const out = needed(options.out, 'out');
  const type = options.type ?? 'ed25519';
  if (type !== 'ed25519' && type !== 'p256') throw new UsageError('--type is ed25519 or p256');
  const pair = newPair(type);
  const { jwk, key, thumbprint } = pair.publicKey;
  // The private key first: where that cannot be written, nothing is.
  await create(out, privatePem(pair), 0o600);
  await create(`${out}.pub.json`, `${JSON.stringify(jwk)}\n`, 0o644);
  await create(`${out}.pub.pem`, String(key.export({ type: 'spki', format: 'pem' })), 0o644);
  say(`keyid ${thumbprint}`);
  say(`Register it: POST /api/v1/signing-keys { "name": ..., "publicKey": <${out}.pub.json> }`);
}

async function create(path: string, content: string, mode: number): Promise<void> {
  try {
    await writeFile(path, content, { mode, flag: 'wx' });
  } catch (cause) {
    throw new Failure(`${path} cannot be written: ${(cause as Error).message}`, { cause });
  }
}
