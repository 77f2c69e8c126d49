import { readdir, readFile } from 'node:fs/promises';

/** A process that an agent runs as a service, or that such a process has started. */
export interface NodeService {
  pid: number;
  nodeId: string;
  serviceType: string;
  instanceId: string;
}

/** The processes of this host that belong to services of these nodes, as the environment of each says. */
export async function nodeServices(...nodeIds: readonly string[]): Promise<NodeService[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(pids.map(async (pid) => serviceOf(Number(pid), await environment(pid))));
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

/** Empty for a process that has ended: a zombie has no environment any more. */
async function environment(pid: string): Promise<Map<string, string>> {
  const text = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  const pairs = text
    .split('\0')
    .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]);
  return new Map(pairs as [string, string][]);
}

function serviceOf(pid: number, variables: Map<string, string>): NodeService | null {
  const [nodeId, serviceType, instanceId] = ['RAP_NODE_ID', 'RAP_SERVICE_TYPE', 'RAP_INSTANCE_ID'].map(
    (name) => variables.get(name),
  );
  if (nodeId === undefined || serviceType === undefined || instanceId === undefined) return null;
  return { pid, nodeId, serviceType, instanceId };
}
