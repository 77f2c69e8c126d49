import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from '@jest/globals';
import { environmentOf, parsedRow, processRow } from './process-table.js';

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
    for (let looks = 0; looks < 1_000; looks += 1) {
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

interface Told {
  command?: string;
  session?: number;
  flags?: number;
  /** Where its code begins; 0 until a program that is just begun has all it is given. */
  code?: number;
  /** Where its environment begins and ends. */
  environment?: [number, number];
}

/** A row as Linux writes it, of a process of a user that runs. */
function stat({
  command = 'sh',
  session = 5,
  flags = 4_194_560,
  code = 94_527,
  environment = [10, 20],
}: Told): string {
  const times = '95 0 0 0 0 0 0 0 20 0 1 0 8831 3133440 411 18446744073709551615';
  const rest =
    '94527526915497 140725660728160 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 94527526931504 94527526933120 94527674245120 1 9';
  return `7 (${command}) R 1 ${session} ${session} 0 -1 ${flags} ${times} ${code} ${rest} ${environment.join(' ')} 0\n`;
}

describe('a row of the process table', () => {
  it('is of the kernel by its flag, not by a session whose leader is in another namespace', () => {
    expect(parsedRow(stat({ session: 0 })).isOfKernel).toBe(false);
    expect(parsedRow(stat({ session: 0, flags: 2_129_984 })).isOfKernel).toBe(true);
  });

  it('is read behind a command that holds parentheses and spaces', () => {
    expect(parsedRow(stat({ command: 'a) S 9 (b' }))).toMatchObject({
      state: 'R',
      session: 5,
      startTicks: 8831,
    });
  });

  it('is bare where the environment has no length, but not while the program is only being made', () => {
    expect(parsedRow(stat({ environment: [10, 10] })).isBare).toBe(true);
    expect(parsedRow(stat({ environment: [10, 20] })).isBare).toBe(false);
    expect(parsedRow(stat({ environment: [10, 10], code: 0 })).isBare).toBe(false);
    expect(parsedRow(stat({ environment: [0, 0], code: 0 })).isBare).toBe(false);
  });
});
