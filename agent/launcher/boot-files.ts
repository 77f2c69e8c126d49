import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileIfPresent, writeFileAtomic } from '../atomic-file.js';
import { isCount, isObject, isText } from '../json-values.js';
import {
  type BootRecord,
  FIRST_RECORD,
  SLOT_NAMES,
  type SlotName,
  type SwitchOrder,
  type Trial,
  type TrialEnd,
} from './boot-record.js';

/** The process of an agent that a launcher has started. */
export interface ChildRecord {
  pid: number;
  /** As in `ProcessRow`: with the pid it names one process for ever. */
  started: string;
}

/**
 * What launcher and agent write down for each other, in the folder `agent` of the state directory: `boot.json` and
 * `child.json` are the launcher's, `order.json` is written by the agent and taken by the launcher.
 */
export class BootFiles {
  readonly folder: string;

  constructor(stateDirectory: string) {
    this.folder = join(stateDirectory, 'agent');
  }

  async prepare(): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
  }

  /** Null: there is one that nobody can read. */
  async readRecord(): Promise<BootRecord | null> {
    const text = await readFileIfPresent(this.path('boot.json'));
    return text === null ? FIRST_RECORD : parseRecord(parse(text));
  }

  async writeRecord(record: BootRecord): Promise<void> {
    await this.write('boot.json', record);
  }

  /** Null: none, or nothing that is one. */
  async readOrder(): Promise<SwitchOrder | null> {
    return parseOrder(parse((await readFileIfPresent(this.path('order.json'))) ?? ''));
  }

  async writeOrder(order: SwitchOrder): Promise<void> {
    await this.write('order.json', order);
  }

  async removeOrder(): Promise<void> {
    await rm(this.path('order.json'), { force: true });
  }

  async readChild(): Promise<ChildRecord | null> {
    const child = parse((await readFileIfPresent(this.path('child.json'))) ?? '');
    if (!isObject(child) || !isCount(child.pid) || !isText(child.started)) return null;
    return { pid: child.pid, started: child.started };
  }

  async writeChild(child: ChildRecord): Promise<void> {
    await this.write('child.json', child);
  }

  async removeChild(): Promise<void> {
    await rm(this.path('child.json'), { force: true });
  }

  private path(name: string): string {
    return join(this.folder, name);
  }

  private write(name: string, value: unknown): Promise<void> {
    return writeFileAtomic(this.path(name), `${JSON.stringify(value, null, 2)}\n`);
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function parseRecord(value: unknown): BootRecord | null {
  if (!isObject(value) || value.version !== 1 || !isSlot(value.current)) return null;
  const trial = value.trial === null ? null : parseTrial(value.trial);
  const last = value.last === null ? null : parseEnd(value.last);
  if ((trial === null && value.trial !== null) || (last === null && value.last !== null)) return null;
  return { version: 1, current: value.current, trial, last };
}

function parseTrial(value: unknown): Trial | null {
  const order = parseOrder(value);
  if (order === null || !isObject(value)) return null;
  const { phase, starts, round, lastEnding } = value;
  if (phase !== 'trying' && phase !== 'comparing' && phase !== 'waiting') return null;
  if (!isCount(starts) || !isCount(round) || (lastEnding !== null && !isText(lastEnding))) return null;
  return { ...order, phase, starts, round, lastEnding };
}

function parseEnd(value: unknown): TrialEnd | null {
  const order = parseOrder(value);
  if (order === null || !isObject(value)) return null;
  const { outcome, reason } = value;
  if (outcome !== 'confirmed' && outcome !== 'reverted') return null;
  return reason === null || isText(reason) ? { ...order, outcome, reason } : null;
}

function parseOrder(value: unknown): SwitchOrder | null {
  if (!isObject(value)) return null;
  const { orderId, slot, agentVersion } = value;
  if (!isText(orderId) || !isText(agentVersion) || (slot !== 'a' && slot !== 'b')) return null;
  return { orderId, slot, agentVersion };
}

function isSlot(value: unknown): value is SlotName {
  return SLOT_NAMES.some((name) => name === value);
}
