import { setImmediate as turn } from 'node:timers/promises';
import { EXIT, type ExitCode } from '../exit.js';
import type { Log } from '../log.js';
import { Turns } from '../turns.js';
import { pause } from '../waiting.js';
import { AgentChild, type AgentEnding, endLeftover } from './agent-child.js';
import type { BootFiles } from './boot-files.js';
import { type BootRecord, FIRST_RECORD, type SlotName, slotToRun } from './boot-record.js';
import { afterEvent, type BootEvent } from './boot-rules.js';
import { type AgentWord, parseWord } from './launcher-protocol.js';
import type { Slots } from './slots.js';

export interface LauncherOptions {
  /** Of the agent's program. */
  args: readonly string[];
  /** How long a new agent may take until its control plane has answered it. */
  checkInMs: number;
  /** How long the one before it may take for the same, where that is to tell whose fault the silence was. */
  compareMs: number;
  /** How long an agent may take to end when it is asked to. */
  stopMs: number;
  /** Between the first end and the next start; doubled with each start that did not last. */
  delayMs: number;
}

const LONGEST_DELAY_MS = 30_000;
const LASTING_MS = 60_000;
/** Starting it again would change nothing: a wrong command line, not admitted, refused. */
const FINAL: readonly (number | null)[] = [EXIT.usage, EXIT.notAdmitted, EXIT.refused];

/**
 * Keeps one agent running, and puts another in its place for good only once that has checked in. It knows nothing of
 * the network, and is no part of an update itself. Only one may run on a folder; see `lockState`.
 */
export class Launcher {
  private record: BootRecord = FIRST_RECORD;

  constructor(
    private readonly files: BootFiles,
    private readonly slots: Slots,
    private readonly options: LauncherOptions,
    private readonly log: Log,
  ) {}

  /** Runs until stopped, or until the agent has ended in a way that no start would change; returns its exit code then. */
  async run(stop: AbortSignal): Promise<ExitCode> {
    this.record = await this.readRecord();
    await this.endLeftover();
    for (let { delayMs } = this.options; ; ) {
      const begunAt = performance.now();
      const ending = await this.nextAgent(stop).catch((error: unknown) => {
        this.log.error('launcher.failed', { detail: (error as Error).message });
        return null; // a disk that is full for a while must not end it
      });
      if (stop.aborted) return EXIT.ok;
      const isLasting = performance.now() - begunAt >= LASTING_MS;
      if (ending === 'replaced' || isLasting) delayMs = this.options.delayMs;
      if (ending === 'replaced') continue;
      // Of an agent on trial nothing is final: the one before it is still to be asked.
      const isOnTrial = this.record.trial?.phase === 'trying';
      if (!isOnTrial && FINAL.includes(ending?.code ?? null)) return ending?.code as ExitCode;
      await pause(delayMs, stop);
      if (stop.aborted) return EXIT.ok;
      delayMs = Math.min(LONGEST_DELAY_MS, delayMs * 2);
    }
  }

  /** One agent from its start to its end; `replaced` where the end was wanted, for another to take its place. */
  private async nextAgent(stop: AbortSignal): Promise<AgentEnding | 'replaced'> {
    await this.takeOrder();
    const slot = await this.nextSlot();
    const { args, stopMs } = this.options;
    const onStuck = this.onStuck(slot);
    const start = { slot, program: this.slots.programOf(slot), args, stopMs, onStuck };
    const child = await AgentChild.start(start, this.files);
    this.log.info('launcher.agent_started', {
      slot,
      pid: child.pid,
      trial: this.record.trial?.phase ?? null,
    });
    const isReplaced = await this.accompany(child, slot, stop);
    const ending = await child.ended;
    this.log.info('launcher.agent_ended', { slot, pid: child.pid, detail: ending.how });
    if (isReplaced()) return 'replaced';
    if (!stop.aborted) await this.apply({ kind: 'ended', how: ending.how });
    return ending;
  }

  /** Listens to an agent until it has ended. The function returned says whether it had to make room. */
  private async accompany(child: AgentChild, slot: SlotName, stop: AbortSignal): Promise<() => boolean> {
    const turns = new Turns();
    let isReplaced = false;
    const decide = (see: () => Promise<void>): Promise<void> =>
      turns.take(async () => {
        if (isReplaced) return; // whatever it still says is of no account, and not the next one's word
        const before = this.record;
        await see();
        if (this.record !== before) child.look();
        isReplaced = slotToRun(this.record) !== slot;
        if (isReplaced) child.stop();
      });
    const onStop = (): void => child.stop();
    stop.addEventListener('abort', onStop, { once: true });
    if (stop.aborted) onStop();
    const timer = this.patience(() => void decide(() => this.apply({ kind: 'silent' })).catch(this.complain));
    const listen = async (): Promise<void> => {
      for await (const said of child.says()) {
        const word = parseWord(said);
        if (word !== null) await decide(() => this.heard(word)).catch(this.complain);
        if (this.record.trial === null) clearTimeout(timer);
      }
    };
    await Promise.race([listen(), child.ended]);
    await child.ended;
    clearTimeout(timer);
    stop.removeEventListener('abort', onStop);
    await turns.take(async () => undefined);
    return () => isReplaced;
  }

  private readonly complain = (error: unknown): void => {
    this.log.error('launcher.not_stored', { detail: (error as Error).message });
  };

  /** Calls back when the agent that runs has been silent for as long as it may be; undefined: for as long as it likes. */
  private patience(onSilence: () => void): NodeJS.Timeout | undefined {
    const phase = this.record.trial?.phase;
    if (phase !== 'trying' && phase !== 'comparing') return undefined;
    const { checkInMs, compareMs } = this.options;
    // After the turn in which what was said in time is read: a host that stood still runs its timers first.
    const look = (): void =>
      void turn()
        .then(() => turn())
        .then(onSilence);
    return setTimeout(look, phase === 'trying' ? checkInMs : compareMs);
  }

  private async heard(word: AgentWord): Promise<void> {
    if ('ordered' in word) await this.takeOrder();
    else await this.apply({ kind: 'checked_in', agentVersion: word.checkedIn });
  }

  /** The slot to start from; a trial that has run out of starts, or of files, is over before. */
  private async nextSlot(): Promise<SlotName> {
    await this.apply({ kind: 'starting' });
    for (;;) {
      const slot = slotToRun(this.record);
      const detail = await this.slots.obstacle(slot);
      if (detail === null) return slot;
      this.log.error('launcher.slot_unusable', { slot, detail });
      await this.apply({ kind: 'unusable', detail });
    }
  }

  /** The order goes once the record holds it: a crash in between brings it again, and the record knows it then. */
  private async takeOrder(): Promise<void> {
    const order = await this.files.readOrder();
    if (order === null) return;
    await this.apply({ kind: 'ordered', order });
    await this.files.removeOrder();
  }

  /** What an event changes is on disk before anything is done about it. */
  private async apply(event: BootEvent): Promise<void> {
    const before = this.record;
    const next = afterEvent(before, event);
    if (next === before) return;
    await this.files.writeRecord(next);
    this.record = next;
    const { current, trial, last } = next;
    if (trial !== null) {
      const { slot, agentVersion, phase, starts, round } = trial;
      this.log.info('launcher.trial', { slot, agentVersion, phase, starts, round });
    } else if (before.trial !== null && last !== null) {
      const { slot, agentVersion, outcome, reason } = last;
      const fields = { slot, agentVersion, current, reason };
      if (outcome === 'confirmed') this.log.info('launcher.confirmed', fields);
      else this.log.error('launcher.reverted', fields);
    }
  }

  /** A record that nobody can read says nothing of the slots; the agent beside the launcher is always there. */
  private async readRecord(): Promise<BootRecord> {
    const record = await this.files.readRecord();
    if (record !== null) return record;
    this.log.error('launcher.record_unreadable', { folder: this.files.folder });
    return FIRST_RECORD;
  }

  /** An agent whose launcher was killed ends by itself. One that does not must not be the second one. */
  private async endLeftover(): Promise<void> {
    const child = await this.files.readChild();
    if (child === null) return;
    await endLeftover(child, { stopMs: this.options.stopMs, onStuck: this.onStuck(null) });
    await this.files.removeChild();
  }

  private onStuck(slot: SlotName | null): (pids: readonly number[]) => void {
    return (pids) => this.log.error('launcher.stuck', { slot, pids });
  }
}
