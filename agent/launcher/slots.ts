import { readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { syncFolder } from '../atomic-file.js';
import { isObject } from '../json-values.js';
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
    const file = join(this.path(slot), 'package.json');
    try {
      const about: unknown = JSON.parse(await readFile(file, 'utf8'));
      if (!isObject(about) || typeof about.version !== 'string') return `${file} names no version`;
      await readFile(this.programOf(slot));
      return null;
    } catch (error) {
      return `there is no whole agent in slot ${slot}: ${(error as Error).message}`;
    }
  }

  /**
   * Puts a folder, whole and durable, in the place of what the slot holds. A crash in between leaves the slot empty,
   * never half full.
   */
  async fill(slot: UpdateSlot, folder: string): Promise<void> {
    await this.empty(slot);
    await rename(folder, this.path(slot));
    await syncFolder(this.folder);
  }

  private async empty(slot: UpdateSlot): Promise<void> {
    const gone = `${this.path(slot)}.gone`;
    await rm(gone, { recursive: true, force: true });
    await rename(this.path(slot), gone).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
    await rm(gone, { recursive: true, force: true });
  }
}
