import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileIfPresent, TEMPORARY_SUFFIX, writeFileAtomic } from '../atomic-file.js';
import { Turns } from '../turns.js';
import type { Installed } from './installed-releases.js';
import type { ReleaseArtifact, ReleaseMigration } from './release-manifest.js';
import { NEXT_UPDATE_STATES, type Progress, type UpdateState } from './update-state.js';

/** A report that has its number, and may have been sent already: it is repeated with it until it is heard. */
export interface QueuedReport {
  assignmentId: string;
  epoch: number;
  attempt: number;
  sequence: number;
  state: UpdateState;
  version: string | null;
  message: string | null;
}

/** A migration that has been run here, with the release that brought it. */
export interface AppliedMigration {
  release: string;
  migration: ReleaseMigration;
}

/** The update under way, or the last one. */
export interface UpdateUnderWay extends Progress {
  attempt: number;
  /** Of the last report. */
  sequence: number;
  /** The service of this host that is run from the product. */
  serviceType: string;
  /** What was installed when it began. */
  from: Installed | null;
  to: Installed;
  artifact: ReleaseArtifact | null;
  maxBytes: number;
  migrations: readonly ReleaseMigration[];
  /** The control plane has heard that the service goes out of service, and has not said no. */
  isLetGo: boolean;
  /** The migration that may have been run in part: its id. */
  begun: string | null;
  /** What was undone, and what was run, since it was let go; each in its order. */
  undone: readonly AppliedMigration[];
  done: readonly AppliedMigration[];
  hasBackup: boolean;
  /** It failed by what was signed, or by bytes that were not: nothing that another try would change. */
  isFinal: boolean;
  /** How often the agent was started anew in this state. */
  restarts: number;
  /** When a version that turns bad is not taken back any more; epoch milliseconds. */
  watchUntil: number;
  message: string | null;
}

/** All that is kept of the updates of one product. */
export interface UpdateRecord {
  version: 1;
  product: string;
  /** The version before the one that counts, to which the product can go back. */
  lastGood: Installed | null;
  /** In the order in which they were run. */
  applied: readonly AppliedMigration[];
  update: UpdateUnderWay | null;
  reports: readonly QueuedReport[];
}

/** More reports than one update makes; what has waited longer than that says nothing any more. */
const MAX_REPORTS = 64;
const SUFFIX = '.json';

/** The record with its update in another state, and the report of that. @throws Error on an edge that there is not */
export function moved(
  record: UpdateRecord,
  state: UpdateState,
  change: Partial<UpdateUnderWay> = {},
): UpdateRecord {
  const { update } = record;
  if (update === null || !NEXT_UPDATE_STATES[update.state].includes(state))
    throw new Error(`an update that is ${update?.state ?? 'none'} cannot become ${state}`);
  const next = { ...update, message: null, ...change, state, restarts: 0, sequence: update.sequence + 1 };
  const { assignmentId, epoch, attempt, sequence, message, to, from } = next;
  const version = state === 'running' || state === 'promoting' ? to.version : (from?.version ?? null);
  const report = { assignmentId, epoch, attempt, sequence, state, version, message };
  return { ...record, update: next, reports: [...record.reports, report].slice(-MAX_REPORTS) };
}

/** The records of a state directory, one file for each product. Changes of one run one after another. */
export class UpdateRecords {
  private readonly records = new Map<string, UpdateRecord>();
  private readonly turns = new Turns();

  private constructor(private readonly directory: string) {}

  static async open(directory: string): Promise<UpdateRecords> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const records = new UpdateRecords(directory);
    for (const name of await readdir(directory)) {
      if (name.startsWith('.') && name.endsWith(TEMPORARY_SUFFIX))
        await rm(join(directory, name), { force: true });
      else if (name.endsWith(SUFFIX)) await records.load(name);
    }
    return records;
  }

  get products(): string[] {
    return [...this.records.keys()];
  }

  /** What is durable. */
  of(product: string): UpdateRecord {
    return (
      this.records.get(product) ?? {
        version: 1,
        product,
        lastGood: null,
        applied: [],
        update: null,
        reports: [],
      }
    );
  }

  /** Durable when it resolves; only then it is seen. */
  change(product: string, change: (record: UpdateRecord) => UpdateRecord): Promise<UpdateRecord> {
    return this.turns.take(async () => {
      const before = this.of(product);
      const next = change(before);
      if (next === before) return next;
      await writeFileAtomic(
        join(this.directory, `${product}${SUFFIX}`),
        `${JSON.stringify(next, null, 2)}\n`,
      );
      this.records.set(product, next);
      return next;
    });
  }

  private async load(name: string): Promise<void> {
    const path = join(this.directory, name);
    const record = JSON.parse((await readFileIfPresent(path)) ?? 'null') as UpdateRecord | null;
    if (record?.version !== 1) throw new Error(`${path} was written by another version of the agent`);
    this.records.set(record.product, record);
  }
}
