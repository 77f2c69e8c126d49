import { readdir, readFile, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Ends every process that works in one of the folders, paused or not, and removes the folders, when its standard input
 * ends. The run holds the other end, so that happens whether it ends by itself, by Ctrl-C or by kill -9.
 * Usage: node chaos-watchdog.mjs <folder>...
 */
const folders = process.argv.slice(2);
const ATTEMPTS = 100;

/** Those with a folder in their command line, or in the environment that they were started with. */
async function processesInFolders() {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const found = [];
  for (const pid of pids.map(Number)) {
    const parts = await Promise.all(
      ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
    );
    if (pid !== process.pid && folders.some((folder) => parts.join('\0').includes(folder))) found.push(pid);
  }
  return found;
}

async function clean() {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const pids = await processesInFolders();
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
    if (pids.length === 0) break;
    await sleep(50);
  }
  for (const folder of folders) await rm(folder, { recursive: true, force: true, maxRetries: 10 });
}

process.stdin.resume();
process.stdin.once('end', clean);
