import { afterEach, expect, it } from '@jest/globals';
import { compactSigner, encodedHeader } from './compact-signer.js';
import { ManySignatures } from './many-signatures.js';
import { newKeyPair } from './new-key-pair.js';
import { SigningThread } from './signing-thread.js';

const { publicKey, privateKey } = newKeyPair('ed25519');
const header = { typ: 'rap-snapshot+jws', kid: 'key-1' };
const head = encodedHeader(header);
/** Some with letters of every width. */
const payloads = Array.from({ length: 200 }, (_, at) => JSON.stringify({ at, name: 'é…🜁'.repeat(at % 3) }));
const expected = payloads.map(compactSigner(privateKey, header));

const threads: SigningThread[] = [];
function startThread(): SigningThread {
  const thread = new SigningThread();
  threads.push(thread);
  return thread;
}
afterEach(() => Promise.all(threads.splice(0).map((thread) => thread.close())));

it('a thread makes what is made here, and keeps what comes together apart', async () => {
  const thread = startThread();
  const parts = [payloads.slice(0, 90), payloads.slice(90)];
  const signed = await Promise.all(parts.map((part) => thread.sign(privateKey, head, part)));
  expect(signed.flat()).toEqual(expected);
});

it('a thread says what cannot be signed, and goes on', async () => {
  const thread = startThread();
  await expect(thread.sign(publicKey, head, payloads)).rejects.toThrow();
  expect(await thread.sign(privateKey, head, payloads)).toEqual(expected);
});

it('a thread that ends leaves nobody waiting, and takes no more', async () => {
  const thread = startThread();
  const signing = thread.sign(privateKey, head, payloads);
  await Promise.allSettled([signing, thread.close()]);
  expect(thread.isAlive).toBe(false);
  await expect(thread.sign(privateKey, head, payloads)).rejects.toThrow('ended');
});

it('many or few are signed alike, also after the end', async () => {
  const signatures = new ManySignatures();
  expect(await signatures.sign(privateKey, header, payloads)).toEqual(expected);
  expect(await signatures.sign(privateKey, header, payloads.slice(0, 3))).toEqual(expected.slice(0, 3));
  const signing = signatures.sign(privateKey, header, payloads);
  await signatures.onApplicationShutdown();
  expect(await signing).toEqual(expected);
  expect(await signatures.sign(privateKey, header, payloads)).toEqual(expected);
});
