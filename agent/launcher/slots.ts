import { access, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { syncFolder, syncTree, TEMPORARY_SUFFIX } from '../atomic-file.js';
import { isObject, isText } from '../json-values.js';
import type { SlotName, UpdateSlot } from './boot-record.js';

/** The agent that the launcher itself is a part of. */
const INSTALLED_PROGRAM = fileURLToPath(new URL('../main.js', import.meta.url));
/** What is started of a slot, and of every package of an agent. */
export const PROGRAM_OF_PACKAGE = join('agent', 'main.js');

/** The folders that agents are put into, `a` and `b` below `agent/slots`. */
export class Slots {
  readonly folder: string;

  constructor(
    bootFolder: string,
    private readonly installedProgram = INSTALLED_PROGRAM,
  ) {
    this.folder = join(bootFolder, 'slots');
  }

  /** The folder of a slot; it is there as a whole or not at all. */
  path(slot: UpdateSlot): string {
    return join(this.folder, slot);
  }

  /** What to start. */
  programOf(slot: SlotName): string {
    return slot === 'installed' ? this.installedProgram : join(this.path(slot), PROGRAM_OF_PACKAGE);
  }

  /** Why the agent of this slot cannot be started; null: as far as can be seen it can. */
  async obstacle(slot: SlotName): Promise<string | null> {
    if (slot === 'installed') return null;
    try {
      await this.versionIn(this.path(slot));
      return null;
    } catch (error) {
      return `there is no whole agent in slot ${slot}: ${(error as Error).message}`;
    }
  }

  /** Which version a package of an agent says that it is. @throws Error when the folder holds none */
  async versionIn(folder: string): Promise<string> {
    const file = join(folder, 'package.json');
    const about: unknown = JSON.parse(await readFile(file, 'utf8'));
    if (!isObject(about) || !isText(about.version)) throw new Error(`${file} names no version`);
    await access(join(folder, PROGRAM_OF_PACKAGE));
    return about.version;
  }

  /**
   * Puts what `make` makes of an empty folder into the slot, whole and durable. A crash leaves the slot as it was, or
   * empty, never half full.
   */
  async fill(slot: UpdateSlot, make: (folder: string) => Promise<void>): Promise<void> {
    const draft = `${this.path(slot)}${TEMPORARY_SUFFIX}`;
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft, { recursive: true, mode: 0o700 });
    try {
      await make(draft);
      await syncTree(draft);
      await this.empty(slot);
      await rename(draft, this.path(slot));
      await syncFolder(this.folder);
    } finally {
      await rm(draft, { recursive: true, force: true }); // gone already where it was moved
    }
  }

  /** In one step: what is removed bit by bit would be half an agent. */
  private async empty(slot: UpdateSlot): Promise<void> {
    const gone = `${this.path(slot)}.gone${TEMPORARY_SUFFIX}`;
    await rm(gone, { recursive: true, force: true });
    await rename(this.path(slot), gone).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
    await rm(gone, { recursive: true, force: true });
  }
}
