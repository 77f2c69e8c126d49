import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileIfPresent, writeFileAtomic } from '../atomic-file.js';
import type { CommandDriverConfig } from './driver-config.js';

/** A tunnel that may be up: written before it is brought up, removed once it is down. */
export interface TunnelRecord {
  connectionId: string;
  stop: CommandDriverConfig['stop'];
  env: Readonly<Record<string, string>>;
  stopTimeoutMs: number;
  /** The guard, once there is one; with `started` it names one process for ever. */
  guard: { pid: number; started: string } | null;
}

const SUFFIX = '.tunnel.json';

/** The records of a state directory, so that an agent after this one finds what it left up. */
export class TunnelRecords {
  constructor(private readonly directory: string) {}

  async prepare(): Promise<void> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
  }

  async write(record: TunnelRecord): Promise<void> {
    await writeFileAtomic(this.path(record.connectionId), `${JSON.stringify(record)}\n`);
  }

  async remove(connectionId: string): Promise<void> {
    await rm(this.path(connectionId), { force: true });
  }

  async all(): Promise<TunnelRecord[]> {
    const names = (await readdir(this.directory)).filter((name) => name.endsWith(SUFFIX));
    const texts = await Promise.all(names.map((name) => readFileIfPresent(join(this.directory, name))));
    return texts.filter((text) => text !== null).map((text) => JSON.parse(text) as TunnelRecord);
  }

  private path(connectionId: string): string {
    return join(this.directory, `${connectionId}${SUFFIX}`);
  }
}
