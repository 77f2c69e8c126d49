import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readFileIfPresent } from '../../agent/atomic-file.js';
import { BootFiles } from '../../agent/launcher/boot-files.js';
import {
  type BootRecord,
  FIRST_RECORD,
  type SlotName,
  type UpdateSlot,
} from '../../agent/launcher/boot-record.js';
import { Launcher, type LauncherOptions } from '../../agent/launcher/launcher.js';
import { Slots } from '../../agent/launcher/slots.js';
import { Log } from '../../agent/log.js';
import { isRunning, processRow } from '../../agent/process-table.js';
import { projectRoot } from '../../src/common/project-root.js';
import { AgentProcess } from './agent-process.js';
import { until } from './until.js';

export type Fields = Record<string, unknown>;
export type Behaviour = 'good' | 'silent' | 'deaf' | 'crash' | 'dies_checked_in';

interface Fake {
  version: string;
  /** What it says that it is. */
  claims: string;
  mode: Behaviour;
}

const HOUR_MS = 3_600_000;

/** A host with an agent 1.0.0 in slot a that is known to be good, and another one in slot b. */
export class LauncherStage {
  readonly files: BootFiles;
  readonly slots: Slots;
  /** A test may change how patient the launcher is while that runs. */
  readonly options: LauncherOptions;
  private readonly lines: Fields[] = [];
  private readonly waiting = new Set<() => void>();
  private readonly stop = new AbortController();
  private running: Promise<unknown> = Promise.resolve();

  private constructor(readonly directory: string) {
    this.files = new BootFiles(directory);
    this.slots = new Slots(this.files.folder, join(directory, 'installed', 'main.mjs'));
    const args = ['--state-dir', directory];
    this.options = { args, checkInMs: HOUR_MS, compareMs: HOUR_MS, stopMs: 10_000, delayMs: 1 };
  }

  static async open(next: Behaviour, claims = '2.0.0'): Promise<LauncherStage> {
    const stage = new LauncherStage(await mkdtemp(join(tmpdir(), 'rap-launcher-')));
    await stage.put('a', { version: '1.0.0', claims: '1.0.0', mode: 'good' });
    await stage.put('b', { version: '2.0.0', claims, mode: next });
    await mkdir(join(stage.directory, 'installed'));
    await stage.write('installed', { version: '0.1.0', claims: '0.1.0', mode: 'good' });
    await stage.files.writeRecord({ ...FIRST_RECORD, current: 'a' });
    await stage.serviceIsUp();
    return stage;
  }

  async close(): Promise<void> {
    this.stop.abort();
    await this.running;
    await rm(this.directory, { recursive: true, force: true });
  }

  /** From now on agents are answered. */
  async serviceIsUp(): Promise<void> {
    await writeFile(join(this.directory, 'service-is-up'), '');
  }

  async serviceIsDown(): Promise<void> {
    await rm(join(this.directory, 'service-is-up'));
  }

  /** Writes the order for slot b down, as the agent in slot a does. */
  async order(orderId = 'o1'): Promise<void> {
    await this.files.writeOrder({ orderId, slot: 'b', agentVersion: '2.0.0' });
  }

  /** Runs a launcher in this process. */
  launch(): void {
    const log = new Log('info', (line) => {
      this.lines.push(JSON.parse(line) as Fields);
      for (const wake of this.waiting) wake();
      this.waiting.clear();
    });
    const launcher = new Launcher(this.files, this.slots, this.options, log);
    this.running = launcher.run(this.stop.signal);
  }

  /** A launcher in a process of its own that dies at its nth step; 0: never. */
  launchProcess(dieAt = 0, when: 'before' | 'after' = 'before'): AgentProcess {
    const program = join(projectRoot(), 'test', 'support', 'dying-launcher.mjs');
    return new AgentProcess([this.directory, String(dieAt), when], {}, program);
  }

  /** The first event of the launcher in this process that fits, also when it came before. */
  async seen(event: string, like: Fields = {}): Promise<Fields> {
    for (;;) {
      const fits = (line: Fields): boolean =>
        line.event === event && Object.entries(like).every(([name, value]) => line[name] === value);
      const found = this.lines.find(fits);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  /** What agents have written, such as `started 1.0.0 4711`. */
  async journal(): Promise<string[]> {
    const text = (await readFileIfPresent(join(this.directory, 'journal'))) ?? '';
    return text.split('\n').filter((line) => line !== '');
  }

  /** The versions of the agents that live now, however they came to. */
  async alive(): Promise<string[]> {
    const started = (await this.journal()).map((line) => line.split(' '));
    const living = started.filter(([, , pid]) => {
      const row = processRow(Number(pid));
      return row !== null && isRunning(row);
    });
    return living.map(([, version = '']) => version);
  }

  /** The record once the trial is over and the agent that is to run does, alone. */
  async settled(): Promise<BootRecord> {
    const record = await until(
      () => this.files.readRecord(),
      (found) => found?.trial === null && found.last !== null,
    );
    if (record === null) throw new Error('the record cannot be read');
    const version = record.current === 'b' ? '2.0.0' : '1.0.0';
    await until(
      () => this.alive(),
      (versions) => versions.length === 1 && versions[0] === version,
    );
    return record;
  }

  private async put(slot: UpdateSlot, fake: Fake): Promise<void> {
    const folder = this.slots.path(slot);
    await mkdir(join(folder, 'agent'), { recursive: true });
    await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module', version: fake.version }));
    await this.write(slot, fake);
  }

  private async write(slot: SlotName, fake: Fake): Promise<void> {
    const program = join(projectRoot(), 'test', 'support', 'fake-agent.mjs');
    const text = `import { fakeAgent } from ${JSON.stringify(program)};\nawait fakeAgent(${JSON.stringify(fake)});\n`;
    await writeFile(this.slots.programOf(slot), text);
  }
}
