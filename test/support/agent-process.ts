import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../src/common/project-root.js';
import type { Ending } from './service-process.js';

/** A line of the agent's log. */
export type AgentEvent = Record<string, unknown> & { event: string };

const PROGRAM = join(projectRoot(), 'dist', 'agent', 'main.js');

/** One command of the reference agent, or of another program that writes such a log, as a process of its own. */
export class AgentProcess {
  private text = '';
  private readonly lines: AgentEvent[] = [];
  private readonly waiting = new Set<() => void>();
  private hasEnded = false;
  private readonly child;
  /** Nobody writes to its output any more. */
  readonly ended: Promise<Ending>;
  /** It is gone, though others that it has started may live. */
  readonly exited: Promise<unknown>;

  constructor(args: readonly string[], env: Record<string, string> = {}, program = PROGRAM) {
    const { PATH = '', HOME = '' } = process.env;
    this.child = spawn(process.execPath, [program, ...args], {
      env: { PATH, HOME, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.exited = once(this.child, 'exit');
    let rest = '';
    this.child.stdout.setEncoding('utf8').on('data', (part: string) => {
      this.text += part;
      const lines = (rest + part).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.startsWith('{')) this.lines.push(JSON.parse(line) as AgentEvent);
      this.look();
    });
    this.child.stderr.setEncoding('utf8').on('data', (part: string) => {
      this.text += part;
    });
    this.ended = once(this.child, 'close').then(([code, signal]): Ending => {
      this.hasEnded = true;
      this.look();
      return { code, signal };
    });
  }

  /** Everything that it has written so far. */
  get output(): string {
    return this.text;
  }

  /** The events of this name so far. */
  all(event: string): AgentEvent[] {
    return this.lines.filter((line) => line.event === event);
  }

  /**
   * The first event of this name that fits, also when it came before.
   * @throws Error with its output when the process ends without
   */
  async seen(event: string, fits: (line: AgentEvent) => boolean = () => true): Promise<AgentEvent> {
    for (;;) {
      const found = this.all(event).find(fits);
      if (found !== undefined) return found;
      if (this.hasEnded) throw new Error(`the agent ended before ${event}: ${this.text}`);
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  /** Sends a signal that need not end it. */
  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Sends a signal and waits for the end. */
  async end(signal: NodeJS.Signals): Promise<Ending> {
    this.child.kill(signal);
    return this.ended;
  }

  private look(): void {
    for (const wake of this.waiting) wake();
    this.waiting.clear();
  }
}

/** Agents of a test file, each with a state directory below one folder, and all of them ended with it. */
export class AgentHost {
  private readonly agents: AgentProcess[] = [];

  private constructor(private readonly folder: string) {}

  static async open(): Promise<AgentHost> {
    return new AgentHost(await mkdtemp(join(tmpdir(), 'fabric-agents-')));
  }

  /** The state directory of this name. */
  directory(name: string): string {
    return join(this.folder, name);
  }

  /** Starts a command on the state directory of this name. */
  start(name: string, command: string, ...args: readonly string[]): AgentProcess {
    const agent = new AgentProcess([command, '--state-dir', this.directory(name), ...args]);
    this.agents.push(agent);
    return agent;
  }

  async close(): Promise<void> {
    await Promise.all(this.agents.map((agent) => agent.end('SIGKILL')));
    await rm(this.folder, { recursive: true, force: true });
  }
}
