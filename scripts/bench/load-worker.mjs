import { Worker } from 'node:worker_threads';
import { Failure } from '../lib/run.mjs';

/** Longest that one job may take. */
const PATIENCE_MS = 180_000;

/** The thread that makes the load, one job at a time, apart from the one that prepares and evaluates it. */
export class LoadWorker {
  #worker = new Worker(new URL('./worker.mjs', import.meta.url));

  constructor() {
    // What nobody waits for is told by the job that is under way, or by the next one.
    this.#worker.on('error', () => {});
  }

  /** @param {string} job one of those in worker.mjs */
  do(job, input = {}) {
    return new Promise((resolve, reject) => {
      const finish = (settle, value) => {
        clearTimeout(timer);
        this.#worker.off('message', hear);
        this.#worker.off('error', fail);
        this.#worker.off('exit', fail);
        settle(value);
      };
      const hear = ({ result, failure }) =>
        failure === undefined ? finish(resolve, result) : finish(reject, new Failure(failure));
      const fail = (reason) =>
        finish(reject, new Failure(`The load generator failed in ${job}: ${reason?.stack ?? reason}`));
      const timer = setTimeout(fail, PATIENCE_MS, `it took more than ${PATIENCE_MS / 1000} s`);
      this.#worker.on('message', hear);
      this.#worker.once('error', fail);
      this.#worker.once('exit', fail);
      this.#worker.postMessage({ job, input });
    });
  }

  close() {
    return this.#worker.terminate();
  }
}
