import { join } from 'node:path';
import { BootFiles } from '../launcher/boot-files.js';
import { Slots } from '../launcher/slots.js';
import type { LoopContext } from '../loop.js';
import type { NodeApi } from '../node-api.js';
import type { StateStore } from '../state-store.js';
import type { Supervision } from '../supervisor/supervision.js';
import { AGENT_VERSION } from '../version.js';
import { AgentReleases } from './agent-releases.js';
import type { AgentHost } from './agent-updater.js';
import { type ArtifactSource, ControlPlaneSource } from './artifact-source.js';
import { DataMigrations } from './data-migrations.js';
import { ReleaseCommands } from './release-commands.js';
import type { ContentId } from './release-manifest.js';
import { RELEASE_KEYS_FILE, ReleasePins } from './release-pins.js';
import { UpdateKeeper } from './update-keeper.js';
import { UpdateRecords } from './update-record.js';
import { UpdateReporter } from './update-reporter.js';

/** What updates the workloads of this node, and what tells of it. */
export interface Updates {
  keeper: UpdateKeeper;
  reporter: UpdateReporter;
  /** From now on files are asked for at the places that `near` tells first; the control plane comes last. */
  askFirst(near: (file: ContentId) => readonly ArtifactSource[]): void;
}

/** As the control plane names systems. */
const OS: Readonly<Record<string, string>> = { win32: 'windows' };

/** Prepares to update workloads: what was out of service when the last agent ended stays so. Before any service runs. */
export async function openUpdates(
  store: StateStore,
  node: { nodeId: string; clusterId: string },
  api: NodeApi,
  context: LoopContext,
  { supervisor, catalogue, releases }: Supervision,
  { product, launcher }: Pick<AgentHost, 'product' | 'launcher'>,
): Promise<Updates> {
  const directory = join(store.directory, 'updates');
  const records = await UpdateRecords.open(directory);
  const reporter = new UpdateReporter(api, records, context);
  const nodeEnv = { RAP_NODE_ID: node.nodeId, RAP_CLUSTER_ID: node.clusterId };
  const commands = new ReleaseCommands(join(directory, 'commands'), nodeEnv, context.log);
  let near: (file: ContentId) => readonly ArtifactSource[] = () => [];
  const source = new ControlPlaneSource(api);
  const boot = new BootFiles(store.directory);
  const own = { version: AGENT_VERSION, slot: launcher?.slot ?? 'installed' };
  const slots = new AgentReleases(new Slots(boot.folder), boot, own);
  const updaters = {
    ...context,
    ...{ records, reporter, releases, catalogue, supervisor },
    pins: new ReleasePins(join(store.directory, RELEASE_KEYS_FILE)),
    migrations: new DataMigrations(records, commands),
    sourcesFor: (file: ContentId) => [...near(file), source],
    host: { os: OS[process.platform] ?? process.platform, arch: process.arch },
  };
  const agent = { product, launcher, boot, slots };
  const keeper = new UpdateKeeper(join(directory, 'files'), commands, updaters, agent);
  await keeper.prepare();
  return {
    keeper,
    reporter,
    askFirst: (sources) => {
      near = sources;
    },
  };
}
