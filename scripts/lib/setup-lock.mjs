import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { inRoot, readText } from './project.mjs';

const LOCK = inRoot('dist', '.setup-lock');
/** No install takes this long, so an older lock is a dead one whose number another process got. */
const STALE_MS = 30 * 60_000;

/**
 * Runs `work` while no other script of this clone installs or builds: `npm start` and `npm test` may well be
 * typed at the same time.
 */
export async function withSetupLock(work) {
  mkdirSync(inRoot('dist'), { recursive: true });
  let told = false;
  while (!take()) {
    const pid = holder();
    if (!told && pid > 0) {
      console.log(`Waiting for process ${pid}, which is installing or building.`);
      told = true;
    }
    await sleep(100);
  }
  try {
    return await work();
  } finally {
    rmSync(LOCK, { force: true });
  }
}

function take() {
  try {
    writeFileSync(LOCK, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  const age = Date.now() - (statSync(LOCK, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
  const pid = holder();
  // Empty: being written at this moment.
  if (age > STALE_MS || (pid > 0 && !isAlive(pid))) rmSync(LOCK, { force: true });
  return false;
}

function holder() {
  return Number(readText(LOCK) ?? '');
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
