import { readFile, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Removes a throw-away data directory and the Postgres on it when its standard input ends. The test run holds
 * the other end, so that happens whether the run ends by itself, by Ctrl-C or by kill -9.
 * Usage: node postgres-watchdog.mjs <data directory>
 */
const dataDir = resolve(process.argv[2]);
/** A server that is busy with a checkpoint on a busy machine may need long to hear of its end. */
const MAX_ATTEMPTS = 2_400;

/** Root's database files may lie outside the data directory, in a directory of their own. */
async function databaseDirectory() {
  try {
    return resolve(
      dataDir,
      JSON.parse(await readFile(join(dataDir, 'postgres-credentials.json'), 'utf8')).directory,
    );
  } catch {
    return join(dataDir, 'postgres');
  }
}

/** SIGQUIT is Postgres's immediate shutdown: nothing here is worth a checkpoint. */
async function quitPostgres(directory) {
  const pid = Number.parseInt(await readFile(join(directory, 'postmaster.pid'), 'utf8').catch(() => ''), 10);
  if (Number.isNaN(pid)) return true;
  try {
    process.kill(pid, 'SIGQUIT');
    return false;
  } catch {
    return true;
  }
}

async function clean() {
  const directory = await databaseDirectory();
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    try {
      if (await quitPostgres(directory)) {
        if (dirname(directory) !== dataDir) await rm(dirname(directory), { recursive: true, force: true });
        await rm(dataDir, { recursive: true, force: true });
        return;
      }
    } catch {
      // Something still writes there; once more.
    }
    await sleep(25);
  }
}

process.stdin.resume();
process.stdin.once('end', clean);
