import { execFile } from 'node:child_process';
import { sign, verify } from 'node:crypto';
import { promisify } from 'node:util';
import { expect, it } from '@jest/globals';
import { newKeyPair } from './new-key-pair.js';

const KINDS = ['ed25519', 'p256'] as const;
/** In which even a busy machine makes the keys below; who waits for himself never does. */
const PATIENCE_MS = 120_000;

it.each(KINDS)('makes halves of %s that belong together, another pair each time', (kind) => {
  const [one, other] = [newKeyPair(kind), newKeyPair(kind)];
  const data = Buffer.from('signed');
  const signature = sign(null, data, one.privateKey);
  expect(verify(null, data, one.publicKey, signature)).toBe(true);
  expect(verify(null, data, other.publicKey, signature)).toBe(false);
});

it('makes keys whose export never waits for itself, whenever the collector runs', async () => {
  // A process of its own, since nothing else could end one that stands still.
  const program = `
    import { register } from 'node:module';
    register(${JSON.stringify(new URL('../../../test/support/typescript-loader.mjs', import.meta.url).href)});
    const { newKeyPair } = await import(${JSON.stringify(new URL('./new-key-pair.ts', import.meta.url).href)});
    for (let count = 0; count < 4_000; count += 1)
      for (const kind of ${JSON.stringify(KINDS)})
        for (const key of Object.values(newKeyPair(kind))) key.export({ format: 'jwk' });
    console.log('done');`;
  // The smallest space for new objects: the collector runs in the middle of many exports.
  const args = ['--max-semi-space-size=1', '--input-type=module', '-e', program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: PATIENCE_MS });
  expect(stdout).toBe('done\n');
}, 180_000);
