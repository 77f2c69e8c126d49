/**
 * As much of an agent as its launcher sees, with a behaviour that a test chooses: main.js of a slot imports it. It holds
 * the real lock of the state directory and speaks over the real link.
 */
import { appendFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { LauncherLink } from '../../dist/agent/launcher/launcher-link.js';
import { lockState } from '../../dist/agent/state-lock.js';

const LOOK_AGAIN_MS = 10;
const DEAF_AT_MOST_MS = 60_000;

/** @param {{ version: string, claims: string, mode: 'good'|'silent'|'deaf'|'crash'|'dies_checked_in' }} behaviour */
export async function fakeAgent({ version, claims, mode }) {
  const state = process.argv[process.argv.indexOf('--state-dir') + 1];
  const tell = (what) => appendFileSync(join(state, 'journal'), `${what} ${version} ${process.pid}\n`);
  if (mode === 'crash') process.exit(1);
  const stop = new AbortController();
  const link = LauncherLink.open(() => stop.abort());
  process.on('SIGTERM', () => stop.abort());
  let unlock;
  try {
    unlock = await lockState(state);
  } catch {
    tell('locked-out');
    process.exit(1);
  }
  tell('started');
  // Nobody gets through to it any more: neither a signal nor the end of its launcher. A test that fails leaves it behind.
  while (mode === 'deaf' && performance.now() < DEAF_AT_MOST_MS);
  const timer = setInterval(() => {
    if (existsSync(join(state, 'agent', 'order.json'))) link.say({ ordered: true });
    if (mode === 'silent' || !existsSync(join(state, 'service-is-up'))) return;
    link.say({ checkedIn: claims });
    if (mode === 'dies_checked_in') setImmediate(() => process.kill(process.pid, 'SIGKILL'));
  }, LOOK_AGAIN_MS);
  await new Promise((resolve) => {
    if (stop.signal.aborted) resolve();
    stop.signal.addEventListener('abort', resolve);
  });
  clearInterval(timer);
  link.close();
  await unlock();
}
