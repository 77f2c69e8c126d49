import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/**
 * Writes and flushes a little over and over beside a measurement, in a thread of its own. Who waits for a commit waits for
 * the disk at least as long; on a machine that shares its disk with others that may be most of it.
 */
export class DiskProbe {
  #worker;

  /** @param {string} directory on the disk that is meant */
  constructor(directory) {
    this.#worker = new Worker(new URL('./disk-flushes.mjs', import.meta.url), { workerData: { directory } });
  }

  /** Ends it. @returns {Promise<{ p50: number, p99: number, longest: number }>} milliseconds of a flush */
  async stop() {
    const told = once(this.#worker, 'message');
    this.#worker.postMessage('stop');
    const [flushes] = await told;
    await this.#worker.terminate();
    return flushes;
  }
}
