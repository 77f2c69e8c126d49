import type { Log } from '../log.js';
import { isRunning, processRow } from '../process-table.js';
import { endTree, membersOf } from './process-tree.js';
import { filesIn, type ServiceFiles } from './service-files.js';

/**
 * Ends the processes that an agent left behind which died before them, and returns when they are gone: what
 * nobody watched may have lost its role, its output has nowhere to go, and no service may run twice. Only
 * for the agent that holds the lock of the state directory.
 */
export async function endLeftovers(directory: string, log: Log): Promise<void> {
  const services = [...(await filesIn(directory))];
  await Promise.all(services.map(([serviceType, files]) => endLeftover(serviceType, files, log)));
}

/** The first process of each service that runs, by service type. */
export async function runningIn(directory: string): Promise<Map<string, number>> {
  const running = new Map<string, number>();
  for (const [serviceType, files] of await filesIn(directory)) {
    const record = await files.readRecord();
    const row = record === null ? null : processRow(record.pid);
    if (record !== null && row?.started === record.started && isRunning(row))
      running.set(serviceType, record.pid);
  }
  return running;
}

async function endLeftover(serviceType: string, files: ServiceFiles, log: Log): Promise<void> {
  await files.sweep();
  const record = await files.readRecord();
  if (record === null) return;
  const { stopSignal, stopTimeoutMs, ...process } = record;
  const root = { ...process, isOwnChild: false };
  const pids = await membersOf(root);
  if (pids.length > 0) {
    log.warn('workload.leftover', { serviceType, instanceId: record.instanceId, pids });
    await endTree(root, {
      signal: stopSignal,
      timeoutMs: stopTimeoutMs,
      onStuck: (stuck) => log.error('workload.stuck', { serviceType, pids: stuck }),
    });
  }
  await files.removeRecord();
}
