import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileIfPresent } from '../atomic-file.js';
import type { BootFiles } from '../launcher/boot-files.js';
import { freeSlot, type SlotName, type UpdateSlot } from '../launcher/boot-record.js';
import type { Slots } from '../launcher/slots.js';
import type { Installed } from './installed-releases.js';
import { ReleaseRefused } from './release-envelope.js';
import { formatOf, unpack } from './unpack.js';
import type { ReleaseStore } from './updater-context.js';

/** In a slot: which release was put there. */
const MARK = 'release';

/** The slots of the agent itself, in the place of the folders of a service's releases. */
export class AgentReleases implements ReleaseStore {
  constructor(
    private readonly slots: Slots,
    private readonly boot: BootFiles,
    private readonly own: { version: string; slot: SlotName },
  ) {}

  /** The agent that runs. */
  async current(): Promise<Installed> {
    return { version: this.own.version, folder: this.own.slot };
  }

  async has(_product: string, release: Installed): Promise<boolean> {
    return (await this.slotOf(release)) !== null;
  }

  /** The slot that the release waits in; null: it is in none that could be put on trial. */
  async slotOf({ folder }: Installed): Promise<UpdateSlot | null> {
    const slot = await this.freeSlot();
    if (slot === null) return null;
    return (await readFileIfPresent(join(this.slots.path(slot), MARK))) === folder ? slot : null;
  }

  /** Unpacks a verified package into the free slot. @throws UnsafeArchive; ReleaseRefused when it is no such agent */
  async stage(
    product: string,
    release: Installed,
    file: { path: string; mediaType: string; maxBytes: number },
  ): Promise<void> {
    if (await this.has(product, release)) return;
    if (formatOf(file.mediaType) !== 'archive') throw new ReleaseRefused('an agent comes as an archive');
    const slot = await this.freeSlot();
    if (slot === null) throw new Error('another agent is on trial');
    await this.slots.fill(slot, async (draft) => {
      await unpack(file.path, draft, file.maxBytes);
      const version = await this.slots.versionIn(draft).catch((error: Error) => {
        throw new ReleaseRefused(`the package holds no agent: ${error.message}`);
      });
      if (version !== release.version)
        throw new ReleaseRefused(`the package holds an agent of version ${version}`);
      await writeFile(join(draft, MARK), release.folder, { mode: 0o600 });
    });
  }

  private async freeSlot(): Promise<UpdateSlot | null> {
    const record = await this.boot.readRecord();
    return record === null ? null : freeSlot(record);
  }
}
