import { readdir } from 'node:fs/promises';
import { environmentOf } from '../../agent/process-table.js';

/** A process that an agent runs as a service, or that such a process has started. */
export interface NodeService {
  pid: number;
  nodeId: string;
  serviceType: string;
  instanceId: string;
}

/** The processes of this host that belong to services of these nodes, as the environment of each says. */
export async function nodeServices(...nodeIds: readonly string[]): Promise<NodeService[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(pids.map(async (pid) => serviceOf(pid, await environment(pid))));
  return found.filter((service) => service !== null && nodeIds.includes(service.nodeId)) as NodeService[];
}

/** How many services of these nodes run: a check of one runs as a part of it. */
export async function runningServices(...nodeIds: readonly string[]): Promise<number> {
  return new Set((await nodeServices(...nodeIds)).map(({ instanceId }) => instanceId)).size;
}

/** Kills what agents left behind that were killed themselves. */
export async function endNodeServices(...nodeIds: readonly string[]): Promise<void> {
  for (const { pid } of await nodeServices(...nodeIds)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended in the meantime.
    }
  }
}

async function environment(pid: number): Promise<Map<string, string>> {
  const pairs = (await environmentOf(pid)).map((line) => [
    line.slice(0, line.indexOf('=')),
    line.slice(line.indexOf('=') + 1),
  ]);
  return new Map(pairs as [string, string][]);
}

function serviceOf(pid: number, variables: Map<string, string>): NodeService | null {
  const [nodeId, serviceType, instanceId] = ['RAP_NODE_ID', 'RAP_SERVICE_TYPE', 'RAP_INSTANCE_ID'].map(
    (name) => variables.get(name),
  );
  if (nodeId === undefined || serviceType === undefined || instanceId === undefined) return null;
  return { pid, nodeId, serviceType, instanceId };
}
