import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { latencies } from './statistics.mjs';

/** As much as Postgres writes of its log at least. */
const BYTES = Buffer.alloc(8 * 1024, 1);
/** Written anew over and over, as segments of the log are. */
const FILE_BYTES = 16 * 1024 * 1024;
const PAUSE_MS = 5;

let isOver = false;
parentPort.once('message', () => {
  isOver = true;
});

const directory = mkdtempSync(join(workerData.directory, 'flushes-'));
const file = openSync(join(directory, 'log'), 'w');
const took = [];
try {
  writeSync(file, Buffer.alloc(FILE_BYTES));
  fdatasyncSync(file);
  for (let at = 0; !isOver || took.length === 0; at = (at + BYTES.length) % FILE_BYTES) {
    const startedAt = performance.now();
    writeSync(file, BYTES, 0, BYTES.length, at);
    fdatasyncSync(file);
    took.push(performance.now() - startedAt);
    await pause(PAUSE_MS);
  }
} finally {
  closeSync(file);
  rmSync(directory, { recursive: true });
}
parentPort.postMessage({ ...latencies(took), longest: Math.max(...took) });
