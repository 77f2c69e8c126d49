import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileIfPresent, TEMPORARY_SUFFIX, writeFileAtomic } from '../atomic-file.js';
import { isCount, isObject, isText } from '../json-values.js';
import { Turns } from '../turns.js';
import type { Launch } from './service-order.js';

/** Which process was started for a service, so that the agent's successor finds it. */
export interface ProcessRecord {
  instanceId: string;
  pid: number;
  /** As in `ProcessRow`. */
  started: string;
  stopSignal: NodeJS.Signals;
  stopTimeoutMs: number;
}

/**
 * What the agent keeps of one service, in `workloads/<serviceType>/`: its configuration as the process reads
 * it, the process that runs, the log. Everything is replaced atomically, and gone with the workload. Calls
 * run one after another.
 */
export class ServiceFiles {
  readonly configFile: string;
  readonly secretRefsFile: string;
  readonly logFile: string;
  private readonly recordFile: string;
  private readonly turns = new Turns();

  constructor(private readonly folder: string) {
    this.configFile = join(folder, 'config.json');
    this.secretRefsFile = join(folder, 'secret-refs.json');
    this.logFile = join(folder, 'output.log');
    this.recordFile = join(folder, 'process.json');
  }

  /** Writes what a process is to read when it starts. */
  prepare({ config, secretRefs }: Pick<Launch, 'config' | 'secretRefs'>): Promise<void> {
    return this.turns.take(async () => {
      await mkdir(this.folder, { recursive: true, mode: 0o700 });
      await writeFileAtomic(this.configFile, asText(config));
      await writeFileAtomic(this.secretRefsFile, asText(secretRefs));
    });
  }

  writeRecord(record: ProcessRecord): Promise<void> {
    return this.turns.take(() => writeFileAtomic(this.recordFile, asText(record)));
  }

  /** The process that was started last and is not known to have ended; null when there is none. */
  async readRecord(): Promise<ProcessRecord | null> {
    const text = await readFileIfPresent(this.recordFile);
    return text === null ? null : parseRecord(text);
  }

  removeRecord(): Promise<void> {
    return this.turns.take(() => rm(this.recordFile, { force: true }));
  }

  /** Removes what a crash left half written. */
  async sweep(): Promise<void> {
    const names = await readdir(this.folder);
    const leftovers = names.filter((name) => name.startsWith('.') && name.endsWith(TEMPORARY_SUFFIX));
    await Promise.all(leftovers.map((name) => rm(join(this.folder, name), { force: true })));
  }

  /** Removes everything. Only for a service without a process. */
  remove(): Promise<void> {
    return this.turns.take(() => rm(this.folder, { recursive: true, force: true }));
  }
}

/** The files of every service that has any in `directory`, by service type. */
export async function filesIn(directory: string): Promise<Map<string, ServiceFiles>> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return new Map(folders.map((name) => [name, new ServiceFiles(join(directory, name))]));
}

/** Null for what no agent has written: a record that cannot be read names no process. */
function parseRecord(text: string): ProcessRecord | null {
  try {
    const record: unknown = JSON.parse(text);
    if (!isObject(record)) return null;
    const { instanceId, pid, started, stopSignal, stopTimeoutMs } = record;
    if (!isText(instanceId) || !isCount(pid) || !isText(started) || !isText(stopSignal)) return null;
    if (!isCount(stopTimeoutMs)) return null;
    return { instanceId, pid, started, stopSignal: stopSignal as NodeJS.Signals, stopTimeoutMs };
  } catch {
    return null;
  }
}

function asText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
