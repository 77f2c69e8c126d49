import { join } from 'node:path';
import type { Snapshot } from '../snapshot.js';
import { type AgentHost, AgentUpdater } from './agent-updater.js';
import { ArtifactDownloads } from './artifact-download.js';
import { ProductUpdater } from './product-updater.js';
import type { ReleaseCommands } from './release-commands.js';
import type { SnapshotUpdate } from './snapshot-update.js';
import type { UpdaterContext } from './updater-context.js';

/** Runs an updater for each product that the snapshot has an update of, and for each whose update is not over. */
export class UpdateKeeper {
  private readonly updaters = new Map<string, ProductUpdater>();
  private start: (updater: ProductUpdater) => void = () => undefined;

  constructor(
    private readonly directory: string,
    private readonly commands: ReleaseCommands,
    private readonly context: UpdaterContext,
    private readonly agent: AgentHost,
  ) {}

  /** Before any service is started. */
  async prepare(): Promise<void> {
    await this.commands.clearLeftovers();
    for (const product of this.context.records.products) await this.updater(product).prepare();
  }

  /** Takes on the updates of `snapshot`; null: none. Returns at once. */
  apply(snapshot: Snapshot | null): void {
    // Without an active membership the node begins nothing; what it has begun it brings to an end.
    const isActive = snapshot?.membershipStatus === 'active';
    const told = isActive ? snapshot.updates : [];
    const updates = new Map(told.map((update): [string, SnapshotUpdate] => [update.product, update]));
    for (const product of new Set([...updates.keys(), ...this.updaters.keys()]))
      this.updater(product).want(updates.get(product) ?? null, isActive);
  }

  /** Updates until stopped. @throws IdentityRefused */
  async run(): Promise<void> {
    const { stop, supervisor, reporter } = this.context;
    const ring = (): void => {
      for (const updater of this.updaters.values()) updater.ring();
    };
    reporter.onHeard(ring);
    const unwatch = supervisor.watch(ring);
    try {
      await new Promise<void>((resolve, reject) => {
        const running: Promise<void>[] = [];
        this.start = (updater) => {
          const run = updater.run();
          running.push(run);
          run.catch(reject);
        };
        for (const updater of this.updaters.values()) this.start(updater);
        const end = (): void => void Promise.allSettled(running).then(() => resolve());
        if (stop.aborted) end();
        stop.addEventListener('abort', end, { once: true });
      });
    } finally {
      this.start = () => undefined;
      unwatch();
    }
  }

  private updater(product: string): ProductUpdater {
    const known = this.updaters.get(product);
    if (known !== undefined) return known;
    const downloads = new ArtifactDownloads(join(this.directory, product), this.context.log);
    const updater =
      product === this.agent.product
        ? new AgentUpdater(downloads, this.context, this.agent)
        : new ProductUpdater(product, downloads, this.context);
    this.updaters.set(product, updater);
    this.start(updater);
    return updater;
  }
}
