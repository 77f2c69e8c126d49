import type { BootFiles } from '../launcher/boot-files.js';
import type { LauncherLink } from '../launcher/launcher-link.js';
import type { AgentReleases } from './agent-releases.js';
import type { ArtifactDownloads } from './artifact-download.js';
import { ProductUpdater } from './product-updater.js';
import { verifyRelease } from './release-envelope.js';
import type { SnapshotUpdate } from './snapshot-update.js';
import { trialFate, trialMove } from './trial-fate.js';
import type { UpdateUnderWay } from './update-record.js';
import { NotPossible, type UpdaterContext } from './updater-context.js';

/** What the agent's own update works with, besides what those of services do. */
export interface AgentHost {
  /** The product that releases of the agent are published as. */
  product: string;
  /** Null: this agent was started without a launcher. */
  launcher: LauncherLink | null;
  boot: BootFiles;
  slots: AgentReleases;
}

const NO_LAUNCHER =
  'this agent was not started by "rap-node-agent launch", and so nothing could take its place';

/**
 * Takes the agent itself from version to version. It makes ready as for a service; then the launcher stops this agent,
 * and whichever one runs afterwards goes on from the record.
 */
export class AgentUpdater extends ProductUpdater {
  constructor(
    downloads: ArtifactDownloads,
    context: UpdaterContext,
    private readonly agent: AgentHost,
  ) {
    super(agent.product, downloads, context, agent.slots);
    agent.launcher?.onLook(() => this.ring());
  }

  /** No service is held for it. */
  override async prepare(): Promise<void> {}

  protected override async check(wanted: SnapshotUpdate): Promise<void> {
    if (this.agent.launcher === null) throw new NotPossible(NO_LAUNCHER);
    const pin = await this.preparation.pin();
    const { manifest, artifact } = verifyRelease(wanted.manifest, pin, this.preparation.toldBy(wanted));
    // Its state is only added to, so that the agent before it can read it (docs/adr/0051).
    if (manifest.migrations.length > 0) throw new NotPossible('the state of an agent is not migrated');
    await this.journal.enter('downloading', { artifact, maxBytes: pin.maxBytes });
  }

  protected override leave(): Promise<void> {
    return this.journal.enter('starting');
  }

  protected override async carryOut(update: UpdateUnderWay): Promise<void> {
    if (!update.isLetGo && update.state === 'starting') return this.waitForWord();
    const { launcher, boot } = this.agent;
    const record = await boot.readRecord();
    const fate = trialFate(record, orderIdOf(update), launcher?.slot ?? 'installed');
    const move = trialMove(update.state, fate, update.message);
    switch (move.kind) {
      case 'enter':
        await this.journal.enter(move.state, { message: move.message ?? null });
        return this.prune();
      case 'order':
        return this.order(update);
      case 'wait':
        return this.rung();
    }
  }

  private async order(update: UpdateUnderWay): Promise<void> {
    const { launcher, boot, slots } = this.agent;
    const slot = await slots.slotOf(update.to);
    const obstacle = launcher === null ? NO_LAUNCHER : 'the agent that was made ready is gone';
    if (launcher === null || slot === null)
      return this.journal.enter('rollback_required', { message: obstacle });
    await boot.writeOrder({ orderId: orderIdOf(update), slot, agentVersion: update.to.version });
    launcher.say({ ordered: true });
    // The launcher ends this agent now.
    await this.rung();
  }

  /** The agent before is in the other slot, and what the free one holds the next update replaces. */
  protected override async prune(): Promise<void> {
    const { update } = this.record;
    const isOver = update === null || ['running', 'rolled_back', 'failed'].includes(update.state);
    await this.downloads.keepOnly(isOver || update.artifact === null ? [] : [update.artifact]);
  }
}

/** Names one attempt at one update, for ever. */
function orderIdOf({ assignmentId, epoch, attempt, to }: UpdateUnderWay): string {
  return `${assignmentId}/${epoch}/${attempt}/${to.folder}`;
}
