import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { messagesIn } from '../json-lines.js';
import { processRow } from '../process-table.js';
import { endTree, type TreeRoot } from '../supervisor/process-tree.js';
import type { BootFiles, ChildRecord } from './boot-files.js';
import type { SlotName } from './boot-record.js';
import { LAUNCHED_VARIABLE, LINK_FD, LOOK } from './launcher-protocol.js';

/** Waits for a word before it becomes the agent: one that is not on record never runs (docs/adr/0026). */
const GATE = `IFS= read -r word <&${LINK_FD} && [ "$word" = go ] || exit 125; exec "$@"`;

/** How the process of an agent ended. */
export interface AgentEnding {
  /** Null where a signal ended it. */
  code: number | null;
  /** For people, such as "was killed by SIGKILL". */
  how: string;
}

/** What is started. */
export interface AgentStart {
  slot: SlotName;
  program: string;
  /** Of the program. */
  args: readonly string[];
  /** How long it may take to end when it is asked to. */
  stopMs: number;
  /** Called when it, or a process of it, lives on although it was killed. */
  onStuck: (pids: readonly number[]) => void;
}

/** A running agent, in a session of its own: its services and the guards of its tunnels have theirs. */
export class AgentChild {
  /** Resolves when neither the agent nor what it has started in its session is left; never rejects. */
  readonly ended: Promise<AgentEnding>;
  private readonly link: Duplex;
  private isStopping = false;

  private constructor(
    child: ChildProcess,
    private readonly root: TreeRoot,
    private readonly start: AgentStart,
  ) {
    this.link = linkOf(child);
    this.link.on('error', () => undefined); // it has ended, and that is heard of by itself
    this.ended = once(child, 'exit').then(async ([code, signal]) => {
      await this.end(0);
      this.link.destroy();
      return { code, how: signal === null ? `ended with exit code ${code}` : `was killed by ${signal}` };
    });
  }

  get pid(): number {
    return this.root.pid;
  }

  /** Starts an agent that is on record before it runs. @throws Error when there is none; then nothing is left of it */
  static async start(start: AgentStart, files: BootFiles): Promise<AgentChild> {
    const { slot, program, args } = start;
    const child = spawn('/bin/sh', ['-c', GATE, 'sh', process.execPath, program, ...args], {
      env: { ...process.env, [LAUNCHED_VARIABLE]: slot },
      detached: true, // a Ctrl-C is for the launcher, which passes on what it means
      stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
    });
    await once(child, 'spawn');
    const pid = child.pid ?? 0;
    const record: ChildRecord = { pid, started: processRow(pid)?.started ?? '' };
    const agent = new AgentChild(child, { ...record, instanceId: null, isOwnChild: true }, start);
    try {
      await files.writeChild(record);
    } catch (error) {
      agent.link.end(); // no word: it ends by itself
      await agent.ended;
      throw error;
    }
    agent.link.write('go\n');
    return agent;
  }

  /** What the agent says, each line parsed; nothing is known of its shape. */
  async *says(): AsyncGenerator<unknown> {
    try {
      yield* messagesIn<unknown>(this.link);
    } catch {
      // It was killed in the middle of a word.
    }
  }

  /** Tells the agent that the boot record has changed. */
  look(): void {
    if (this.link.writable) this.link.write(`${JSON.stringify(LOOK)}\n`);
  }

  /** Asks it to end, and kills it when it has not in time. */
  stop(): void {
    if (this.isStopping) return;
    this.isStopping = true;
    void this.end(this.start.stopMs);
  }

  private end(timeoutMs: number): Promise<void> {
    return endTree(this.root, { signal: 'SIGTERM', timeoutMs, onStuck: this.start.onStuck });
  }
}

function linkOf({ stdio }: ChildProcess): Duplex {
  return stdio[LINK_FD] as Duplex; // "pipe" is a pair of sockets
}

/** Ends an agent whose launcher has died before it, and returns when it is gone. */
export async function endLeftover(
  record: ChildRecord,
  end: Pick<AgentStart, 'stopMs' | 'onStuck'>,
): Promise<void> {
  const root: TreeRoot = { ...record, instanceId: null, isOwnChild: false };
  await endTree(root, { signal: 'SIGTERM', timeoutMs: end.stopMs, onStuck: end.onStuck });
}
