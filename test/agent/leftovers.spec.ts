import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { v4 as uuid } from 'uuid';
import { HOST_CLOCK } from '../../agent/host-clock.js';
import { Log } from '../../agent/log.js';
import { processRow } from '../../agent/process-table.js';
import { endLeftovers } from '../../agent/supervisor/leftovers.js';
import { type Fields, isAlive, supervisedNode } from '../support/supervised-node.js';

const node = supervisedNode();

describe('what a dead agent left behind', () => {
  const log = new Log('error', () => undefined);
  const record = (): string => join(node().workloads, 'relay-node', 'process.json');

  /** A service with a child, as an agent leaves them that was killed: on record, and of no other concern. */
  async function leftover(): Promise<[first: number, child: number]> {
    const instanceId = uuid();
    const process = spawn('/bin/sh', ['-c', 'sleep 600 & echo $!; exec sleep 600'], {
      detached: true,
      env: { PATH: '/usr/bin:/bin', RAP_INSTANCE_ID: instanceId },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [said] = (await once(process.stdout, 'data')) as [Buffer];
    process.stdout.destroy();
    const pid = process.pid ?? 0;
    await writeRecord({
      instanceId,
      pid,
      started: processRow(pid)?.started,
      stopSignal: 'SIGTERM',
      stopTimeoutMs: 5_000,
    });
    return [pid, Number(said.toString())];
  }

  async function writeRecord(content: Fields): Promise<void> {
    await mkdir(join(node().workloads, 'relay-node'), { recursive: true });
    await writeFile(record(), JSON.stringify(content));
  }

  it('is ended before anything is started', async () => {
    const pids = await leftover();
    expect(pids.filter(isAlive)).toEqual(pids);
    await endLeftovers(node().workloads, log);
    expect(pids.filter(isAlive)).toEqual([]);
    expect(await readdir(join(node().workloads, 'relay-node'))).not.toContain('process.json');
  });

  it('is ended also where only a child of it is left', async () => {
    const [first, child] = await leftover();
    process.kill(first, 'SIGKILL');
    while (isAlive(first)) await new Promise(setImmediate);
    expect(isAlive(child)).toBe(true);
    await endLeftovers(node().workloads, log);
    expect(isAlive(child)).toBe(false);
  });

  it('is never mistaken for another process that has its number now', async () => {
    const stranger = spawn('/bin/sleep', ['600'], { detached: true, stdio: 'ignore' });
    await once(stranger, 'spawn');
    const pid = stranger.pid ?? 0;
    const started = `${HOST_CLOCK.bootId}:1`;
    await writeRecord({ instanceId: uuid(), pid, started, stopSignal: 'SIGKILL', stopTimeoutMs: 0 });
    await endLeftovers(node().workloads, log);
    expect(isAlive(pid)).toBe(true);
    stranger.kill('SIGKILL');
    await once(stranger, 'exit');
  });

  it.each(['', '{', '[]', '{"pid": "all"}'])('names no process in a damaged record: %p', async (text) => {
    await mkdir(join(node().workloads, 'relay-node'), { recursive: true });
    await writeFile(record(), text);
    await expect(endLeftovers(node().workloads, log)).resolves.toBeUndefined();
  });
});
