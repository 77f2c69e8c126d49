import { join } from 'node:path';
import type { AgentSession } from '../agent-session.js';
import type { LoopContext } from '../loop.js';
import type { NodeApi } from '../node-api.js';
import { endLeftovers } from './leftovers.js';
import { ServiceCatalogue } from './service-catalogue.js';
import { Supervisor } from './supervisor.js';
import { WorkloadReporter } from './workload-reporter.js';

/** What runs the node's workloads and what tells of them. */
export interface Supervision {
  supervisor: Supervisor;
  reporter: WorkloadReporter;
}

/**
 * Prepares to run workloads: what an agent before this one left behind has ended when this returns.
 */
export async function openSupervision(
  session: Pick<AgentSession, 'store' | 'log'>,
  node: { nodeId: string; clusterId: string },
  api: NodeApi,
  context: LoopContext,
  options: { servicesDirectory: string | null },
): Promise<Supervision> {
  const { store, log } = session;
  const directory = store.workloadsDirectory;
  const definitions = options.servicesDirectory ?? join(store.directory, 'services');
  await endLeftovers(directory, log);
  const reporter = new WorkloadReporter(api, context);
  const supervisor = new Supervisor({
    directory,
    catalogue: new ServiceCatalogue(definitions),
    node,
    log,
    onReport: (report, logTail) => reporter.add(report, logTail),
  });
  return { supervisor, reporter };
}
