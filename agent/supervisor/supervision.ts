import { join } from 'node:path';
import type { AgentSession } from '../agent-session.js';
import type { HeartbeatPart } from '../heartbeat-part.js';
import type { LoopContext } from '../loop.js';
import type { NodeApi } from '../node-api.js';
import type { Turns } from '../turns.js';
import { InstalledReleases } from '../updates/installed-releases.js';
import { endLeftovers } from './leftovers.js';
import { ServiceCatalogue } from './service-catalogue.js';
import { Supervisor } from './supervisor.js';
import { WorkloadReporter } from './workload-reporter.js';

/** What runs the node's workloads, and what tells of them. */
export interface Supervision {
  supervisor: Supervisor;
  reporter: WorkloadReporter;
  part: HeartbeatPart;
  catalogue: ServiceCatalogue;
  releases: InstalledReleases;
}

/**
 * Prepares to run workloads: what an agent before this one left behind has ended when this returns.
 */
export async function openSupervision(
  session: Pick<AgentSession, 'store' | 'log'>,
  node: { nodeId: string; clusterId: string },
  api: NodeApi,
  context: LoopContext,
  turns: Turns,
  options: { servicesDirectory: string | null },
): Promise<Supervision> {
  const { store, log } = session;
  const directory = store.workloadsDirectory;
  const definitions = options.servicesDirectory ?? join(store.directory, 'services');
  await endLeftovers(directory, log);
  const reporter = new WorkloadReporter(api, context, turns);
  const releases = new InstalledReleases(join(store.directory, 'releases'));
  const catalogue = new ServiceCatalogue(definitions, releases);
  const supervisor = new Supervisor({
    directory,
    catalogue,
    node,
    log,
    onReport: (report, logTail) => reporter.add(report, logTail),
  });
  const part: HeartbeatPart = {
    report: () => {
      reporter.keepLatest();
      return supervisor.report();
    },
    heard: () => undefined, // what heartbeats answer says nothing of workloads
  };
  return { supervisor, reporter, part, catalogue, releases };
}
