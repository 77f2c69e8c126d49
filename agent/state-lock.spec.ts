import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type ProcessRow, processRow } from './process-table.js';
import { lockHolder, lockState } from './state-lock.js';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'agent-lock-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe('the lock', () => {
  it('lets one agent in, and the next when it has left', async () => {
    const unlock = await lockState(directory);
    await expect(lockState(directory)).rejects.toThrow(`another agent (pid ${process.pid}) is using`);
    expect(await lockHolder(directory)).toBe(process.pid);
    await unlock();
    expect(await lockHolder(directory)).toBeNull();
    await (await lockState(directory))();
    expect(await readdir(directory)).toEqual([]);
  });

  it.each([
    ['of a process that is gone', JSON.stringify({ pid: 2 ** 22 + 1, started: null })],
    ['whose number another process has now', JSON.stringify({ pid: process.pid, started: 'boot:1' })],
    ['that is empty after a power loss', ''],
  ])('takes over a lock %s', async (_, content) => {
    await writeFile(join(directory, 'agent.lock'), content);
    const unlock = await lockState(directory);
    expect(await readFile(join(directory, 'agent.lock'), 'utf8')).toContain(`"pid":${process.pid}`);
    await unlock();
  });

  it('takes over a lock of a process that has ended, also while nobody has asked for its end', async () => {
    const careless = spawn('/bin/sh', ['-c', 'sleep 600 & echo $!; exec sleep 600'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      const [line] = await once(createInterface(careless.stdout), 'line');
      const pid = Number(line);
      // A shell may ask for the end of what it has started; the program that it becomes never does.
      const program = () => readFile(`/proc/${careless.pid}/comm`, 'utf8');
      while ((await program()) !== 'sleep\n') await sleep(10);
      process.kill(pid, 'SIGKILL');
      while (processRow(pid)?.state !== 'Z') await sleep(10);
      const { started } = processRow(pid) as ProcessRow;
      await writeFile(join(directory, 'agent.lock'), JSON.stringify({ pid, started }));
      await (await lockState(directory))();
      expect(processRow(pid)?.state).toBe('Z');
    } finally {
      careless.kill('SIGKILL');
      await once(careless, 'close');
    }
  });

  it('takes over a lock whose last taker died half-way', async () => {
    const dead = (nonce: string): string => JSON.stringify({ pid: 2 ** 22 + 1, started: null, nonce });
    const right = `agent.lock.${createHash('sha256').update(dead('a')).digest('hex')}`;
    await writeFile(join(directory, 'agent.lock'), dead('a'));
    await writeFile(join(directory, right), dead('b'));
    await (await lockState(directory))();
    expect(await readdir(directory)).toEqual([]);
  });

  it('is won by exactly one of many that find it stale', async () => {
    await writeFile(join(directory, 'agent.lock'), JSON.stringify({ pid: 2 ** 22 + 1, started: null }));
    const tries = await Promise.allSettled(Array.from({ length: 50 }, () => lockState(directory)));
    expect(tries.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
  });
});
