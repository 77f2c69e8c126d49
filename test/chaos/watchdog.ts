import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Starts what ends everything in the folder when this process ends, however it does. */
export function watchdog(folder: string): ChildProcess {
  const script = fileURLToPath(new URL('./chaos-watchdog.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, folder], {
    detached: true,
    env: {},
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.unref();
  return child;
}

/** Lets it do so now; resolves when that is done. */
export async function released(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.ref();
  child.stdin?.end();
  await ended;
}
