import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { released, watchdog } from './watchdog.js';

it('what works in the folder of a run ends with the run, paused or not, and the folder is gone', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fabric-watchdog-'));
  const dog = watchdog(folder);
  const byEnvironment = spawn('sleep', ['1000'], { env: { ...process.env, TMPDIR: folder } });
  const byCommand = spawn('tail', ['-f', join(folder, 'absent'), '/dev/null'], { stdio: 'ignore' });
  const other = spawn('sleep', ['1000']);
  try {
    await Promise.all([byEnvironment, byCommand, other].map((child) => once(child, 'spawn')));
    byEnvironment.kill('SIGSTOP');
    const ends = [byEnvironment, byCommand].map((child) => once(child, 'exit'));
    await released(dog);
    expect((await Promise.all(ends)).map(([, signal]) => signal)).toEqual(['SIGKILL', 'SIGKILL']);
    expect(existsSync(folder)).toBe(false);
    expect([other.exitCode, other.signalCode]).toEqual([null, null]);
  } finally {
    for (const child of [byEnvironment, byCommand, other]) child.kill('SIGKILL');
  }
});
