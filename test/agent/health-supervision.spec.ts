import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { readFileIfPresent } from '../../agent/atomic-file.js';
import type { Workload } from '../../agent/snapshot-workload.js';
import { isAlive, shell, supervisedNode, workload } from '../support/supervised-node.js';
import { until } from '../support/until.js';

const node = supervisedNode();

describe('a health check', () => {
  // A check that only takes long on a busy machine is none that fails.
  const timing = { intervalSeconds: 1, timeoutSeconds: 60, failureThreshold: 2 };
  const flag = (): string => join(node().directory, 'well');
  const exec = (): Workload['healthCheck'] => ({
    type: 'exec',
    command: ['/usr/bin/test', '-e', flag()],
    ...timing,
  });
  const allowed = (): Promise<void> =>
    node().define('relay-node', {
      command: ['/bin/sleep', '600'],
      execChecks: [['/usr/bin/test', '-e', flag()]],
    });

  it('that fails makes the service degraded, and has it restarted', async () => {
    await allowed();
    await writeFile(flag(), '');
    node().wants([workload({ healthCheck: exec() })]);
    await node().seen('workload.changed', { reportedState: 'running', health: 'healthy' });
    await rm(flag());
    await node().seen('workload.changed', { reportedState: 'degraded', health: 'unhealthy' });
    await writeFile(flag(), '');
    await node().seen('workload.changed', {
      reportedState: 'failed',
      message: 'was unhealthy: the check ended with exit code 1; next start 0.1 s after that',
    });
    await node().seen('workload.started', {}, 1);
  });

  it('that fails leaves a service alone that is never to be restarted, and may recover', async () => {
    await allowed();
    await writeFile(flag(), '');
    const restartPolicy = { ...workload().restartPolicy, mode: 'never' as const };
    node().wants([workload({ healthCheck: exec(), restartPolicy })]);
    await node().seen('workload.changed', { health: 'healthy' });
    await rm(flag());
    await node().seen('workload.changed', { reportedState: 'degraded', health: 'unhealthy' });
    await writeFile(flag(), '');
    await node().seen('workload.changed', { reportedState: 'running', health: 'healthy' }, 3);
    expect(node().events('workload.started')).toHaveLength(1);
  });

  it('ends with the process that it looks at, though something of that lives on', async () => {
    const held = join(node().directory, 'check');
    const hangs = ['/bin/sh', '-c', `trap "" TERM; echo $$ > ${held}; exec sleep 600`];
    const leaves = shell('trap "" TERM; sleep 600 & echo $!; wait');
    await node().define('relay-node', { command: leaves, stopTimeoutSeconds: 600, execChecks: [hangs] });
    const healthCheck = { type: 'exec', command: hangs, ...timing, timeoutSeconds: 600 } as const;
    node().wants([workload({ healthCheck })]);
    const pid = await node().starts('relay-node');
    const left = Number(/ (\d+)\n/.exec(await node().said(/ \d+\n/))?.[1]);
    const asked = await until(
      () => readFileIfPresent(held),
      (text) => text?.endsWith('\n') === true,
    );
    process.kill(pid, 'SIGKILL');
    while (isAlive(Number(asked))) await new Promise(setImmediate);
    expect(isAlive(left)).toBe(true);
    process.kill(left, 'SIGKILL');
    await node().seen('workload.changed', { reportedState: 'failed' });
  });

  it.each<[string, () => Workload['healthCheck'], string]>([
    [
      'a command that the host has not named',
      exec,
      'the command of the health check is none that this host allows',
    ],
    [
      'a URL of another host',
      () => ({ type: 'http', url: 'http://192.0.2.1/', ...timing }),
      'the URL of the health check is not one of this host',
    ],
  ])('by %s is not made, and said not to be', async (_, healthCheck, message) => {
    node().wants([workload({ healthCheck: healthCheck() })]);
    await node().seen('workload.changed', { reportedState: 'degraded', health: 'unknown', message });
  });
});
