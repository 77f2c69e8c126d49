import type { KeyObject } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { withResolvers } from '../promise-with-resolvers.js';

/** What is to be signed by one key, under one encoded header. */
interface Task {
  id: number;
  key: KeyObject;
  head: string;
  payloads: readonly string[];
}

/** Signed JWS in the order of the payloads, or what went wrong. */
type Done = { id: number; signed: string[] } | { id: number; error: string };

/**
 * What the thread does. Text, and not a module: it is the same whether the service was compiled or tests run its
 * sources, and it needs nothing but Node. What it makes is compared with `compactSigner` by a test.
 */
const THREAD = `
const { parentPort } = require('node:worker_threads');
const { sign } = require('node:crypto');
parentPort.on('message', ({ id, key, head, payloads }) => {
  try {
    const signed = payloads.map((payload) => {
      const input = head + '.' + Buffer.from(payload).toString('base64url');
      return input + '.' + sign(null, Buffer.from(input, 'latin1'), key).toString('base64url');
    });
    parentPort.postMessage({ id, signed });
  } catch (error) {
    parentPort.postMessage({ id, error: String(error) });
  }
});`;

/** Signs on a thread beside the one that answers requests: many payloads go there and come back together. */
export class SigningThread {
  private readonly waiting = new Map<number, ReturnType<typeof withResolvers<string[]>>>();
  private readonly worker: Worker;
  private last = 0;
  private ending: Error | null = null;

  constructor() {
    // Nothing of how this process was started is meant for it: no preload, no profile, no settings.
    this.worker = new Worker(THREAD, { eval: true, execArgv: [], env: {}, name: 'signing' });
    this.worker.unref();
    this.worker.on('message', (done: Done) => this.hear(done));
    this.worker.on('error', (error: Error) => this.end(error));
    this.worker.on('exit', () => this.end(new Error('the signing thread has ended')));
  }

  /** Whether it still takes something. */
  get isAlive(): boolean {
    return this.ending === null;
  }

  /** @param head the encoded header of the JWS. @throws when the thread has ended, or a key cannot sign */
  sign(key: KeyObject, head: string, payloads: readonly string[]): Promise<string[]> {
    if (this.ending !== null) return Promise.reject(this.ending);
    const id = ++this.last;
    const signing = withResolvers<string[]>();
    this.waiting.set(id, signing);
    this.worker.postMessage({ id, key, head, payloads } satisfies Task);
    return signing.promise;
  }

  async close(): Promise<void> {
    await this.worker.terminate();
  }

  private hear(done: Done): void {
    const signing = this.waiting.get(done.id);
    this.waiting.delete(done.id);
    if ('signed' in done) signing?.resolve(done.signed);
    else signing?.reject(new Error(done.error));
  }

  private end(error: Error): void {
    this.ending ??= error;
    for (const signing of this.waiting.values()) signing.reject(this.ending);
    this.waiting.clear();
  }
}
