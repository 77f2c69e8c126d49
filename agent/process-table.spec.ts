import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from '@jest/globals';
import { environmentOf, processRow } from './process-table.js';

let child: ChildProcess;
async function start(program: string, args: string[], env: Record<string, string>): Promise<number> {
  child = spawn(program, args, { env, stdio: 'ignore' });
  await once(child, 'spawn');
  return child.pid ?? 0;
}
async function end(): Promise<void> {
  if (child.kill('SIGKILL')) await once(child, 'exit');
}
afterEach(end);

describe('the environment of a process', () => {
  it('is seen also while it becomes one program after the other, and no more when it has ended', async () => {
    const again = 'exec /bin/sh -c "$0" "$0"';
    const pid = await start('/bin/sh', ['-c', again, again], { RAP_INSTANCE_ID: 'this' });
    for (let looks = 0; looks < 3_000; looks += 1) {
      expect(await environmentOf(pid)).toContain('RAP_INSTANCE_ID=this');
    }
    await end();
    expect(await environmentOf(pid)).toEqual([]);
  });

  it('is nothing where it was given none', async () => {
    const pid = await start('/bin/sleep', ['600'], {});
    expect(await environmentOf(pid)).toEqual([]);
    expect(processRow(pid)?.isBare).toBe(true);
  });
});
