import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../log.js';
import { processRow } from '../process-table.js';
import { endTree, membersOf, signalAll, type TreeRoot } from './process-tree.js';
import type { Ending } from './restart-policy.js';
import type { ServiceFiles } from './service-files.js';
import type { Launch } from './service-order.js';
import type { ServiceOutput } from './service-output.js';

/**
 * Waits for a word before it becomes the service. The agent gives it once the process is on record; if the
 * agent dies before that, the word never comes and nothing unknown is left running.
 */
const GATE = 'IFS= read -r word && [ "$word" = go ] || exit 125; exec "$@" </dev/null';
/** How long the last output of an ended process may take: something else may hold the pipe open. */
const DRAIN_MS = 250;
/** What a service gets of the agent's own environment. Everything else may be none of its business. */
const INHERITED = ['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR'];

/** Where a process is started, and what is done with what it says. */
export interface ProcessHome {
  files: ServiceFiles;
  output: ServiceOutput;
  log: Log;
  /** Variables that say which node this is. */
  nodeEnv: Readonly<Record<string, string>>;
}

/** The variables of a service's process and of its health checks. */
export function environmentOf(launch: Launch, instanceId: string, home: ProcessHome): Record<string, string> {
  const inherited = INHERITED.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  });
  return {
    ...Object.fromEntries(inherited),
    ...launch.env,
    ...home.nodeEnv,
    RAP_SERVICE_TYPE: launch.serviceType,
    RAP_INSTANCE_ID: instanceId,
    RAP_CONFIG_FILE: home.files.configFile,
    RAP_SECRET_REFS_FILE: home.files.secretRefsFile,
  };
}

/** One process of a service with all that it starts, from the start to the end of the last of them. */
export class ServiceProcess {
  /** Resolves when no process of it is left; never rejects. */
  readonly ended: Promise<Ending>;
  private stopBy: number | null = null;

  private constructor(
    private readonly child: ChildProcess,
    private readonly root: TreeRoot,
    private readonly launch: Launch,
    private readonly home: ProcessHome,
    /** Resolves when its first process has; what that has started may live on. */
    readonly exited: Promise<Ending>,
    drained: Promise<unknown>,
  ) {
    this.ended = this.end(exited, drained);
  }

  get pid(): number {
    return this.root.pid;
  }

  /** Starts a process. @throws Error that says why there is none; then nothing is left of it */
  static async start(launch: Launch, instanceId: string, home: ProcessHome): Promise<ServiceProcess> {
    await access(launch.command[0] ?? '', constants.X_OK);
    await home.files.prepare(launch);
    const child = spawn('/bin/sh', ['-c', GATE, 'sh', ...launch.command], {
      cwd: launch.cwd ?? undefined,
      env: environmentOf(launch, instanceId, home),
      detached: true, // its own session: it can be ended as a whole, and a Ctrl-C is for the agent
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    await once(child, 'spawn');
    const exited = once(child, 'exit').then(([code, signal]) => endingOf(code, signal));
    child.stdin?.on('error', () => undefined); // it was killed before it heard the word
    const streams = [child.stdout, child.stderr].filter((stream) => stream !== null);
    const drained = Promise.all(streams.map((stream) => home.output.take(stream)));
    const root = { pid: child.pid ?? 0, started: startOf(child), instanceId, isOwnChild: true };
    try {
      const { stopSignal, stopTimeoutMs } = launch;
      await home.files.writeRecord({
        instanceId,
        pid: root.pid,
        started: root.started,
        stopSignal,
        stopTimeoutMs,
      });
    } catch (error) {
      child.stdin?.end(); // no word: it ends by itself
      await exited;
      throw error;
    }
    child.stdin?.end('go\n');
    return new ServiceProcess(child, root, launch, home, exited, drained);
  }

  /** Asks all of it to stop, and kills what has not stopped in time. */
  stop(): void {
    if (this.stopBy !== null) return;
    const { stopSignal, stopTimeoutMs } = this.launch;
    this.stopBy = performance.now() + stopTimeoutMs;
    void this.signal(stopSignal);
    // Until the first process has ended, the rest is its own to care for.
    const timer = setTimeout(() => void this.signal('SIGKILL'), stopTimeoutMs);
    timer.unref(); // the child keeps the agent alive for as long as it matters
    this.child.once('exit', () => clearTimeout(timer));
  }

  private async signal(signal: NodeJS.Signals): Promise<void> {
    signalAll(await membersOf(this.root), signal);
  }

  private async end(exited: Promise<Ending>, drained: Promise<unknown>): Promise<Ending> {
    const ending = await exited;
    const { stopSignal, stopTimeoutMs, serviceType } = this.launch;
    const stopBy = this.stopBy ?? performance.now() + stopTimeoutMs;
    await endTree(this.root, {
      signal: stopSignal,
      timeoutMs: Math.max(0, stopBy - performance.now()),
      onStuck: (pids) => this.home.log.error('workload.stuck', { serviceType, pids }),
    });
    await Promise.race([drained, sleep(DRAIN_MS)]);
    const streams: (Readable | null)[] = [this.child.stdout, this.child.stderr];
    for (const stream of streams) stream?.destroy();
    try {
      await this.home.files.removeRecord();
    } catch (error) {
      // It names a process that is gone, which the next agent finds out.
      this.home.log.warn('workload.not_stored', { serviceType, detail: (error as Error).message });
    }
    return ending;
  }
}

/** It waits at the gate, so that it is there to be looked at. */
function startOf(child: ChildProcess): string {
  return processRow(child.pid ?? 0)?.started ?? '';
}

function endingOf(code: number | null, signal: NodeJS.Signals | null): Ending {
  const text = signal === null ? `ended with exit code ${code}` : `was killed by ${signal}`;
  return { isSuccess: code === 0, text };
}
