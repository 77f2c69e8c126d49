import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { v4 as uuid } from 'uuid';
import type { Log } from '../log.js';
import { endLeftovers } from '../supervisor/leftovers.js';
import { ServiceFiles } from '../supervisor/service-files.js';
import { ServiceOutput } from '../supervisor/service-output.js';
import { ServiceProcess } from '../supervisor/service-process.js';

/** A command of an update: the bundle of a migration, or a command of the host. */
export interface ReleaseCommand {
  product: string;
  serviceType: string;
  command: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string | null;
  timeoutSeconds: number;
}

/** How long a command that has used up its time may take to stop. */
const STOP_TIMEOUT_MS = 5_000;

/**
 * Runs commands of updates one at a time for each product, in a session of their own and on record, so that the agent
 * after one that was killed ends what is left of them before anything is run again.
 */
export class ReleaseCommands {
  constructor(
    private readonly directory: string,
    private readonly nodeEnv: Readonly<Record<string, string>>,
    private readonly log: Log,
  ) {}

  /** Ends what an agent before this one left running. */
  async clearLeftovers(): Promise<void> {
    await endLeftovers(this.directory, this.log);
  }

  /** Null: it ended with 0. Else what is wrong, for people, with its last lines. Nothing of it runs any more then. */
  async run({
    product,
    serviceType,
    command,
    env,
    cwd,
    timeoutSeconds,
  }: ReleaseCommand): Promise<string | null> {
    const folder = join(this.directory, product);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const files = new ServiceFiles(folder);
    const output = new ServiceOutput(files.logFile, {
      written: () => undefined,
      troubled: (error) => this.log.warn('update.not_logged', { product, detail: error.message }),
    });
    const launch = {
      key: '',
      ...{ serviceType, command, env, cwd },
      stopSignal: 'SIGTERM' as const,
      stopTimeoutMs: STOP_TIMEOUT_MS,
      version: null,
      config: {},
      secretRefs: {},
    };
    const home = { files, output, log: this.log, nodeEnv: this.nodeEnv };
    try {
      const process = await ServiceProcess.start(launch, uuid(), home);
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = true;
        process.stop();
      }, timeoutSeconds * 1_000);
      const ending = await process.ended.finally(() => clearTimeout(timer));
      if (ending.isSuccess && !isLate) return null;
      const why = isLate ? `took longer than ${timeoutSeconds} s` : ending.text;
      return `${why} ${lastLine(output.tail())}`.trim();
    } catch (error) {
      return (error as Error).message;
    } finally {
      await output.close();
    }
  }
}

/** Without its time. */
function lastLine(tail: string): string {
  const line = tail.trimEnd().split('\n').at(-1) ?? '';
  return line === '' ? '' : `(${line.replace(/^\S+ /, '').slice(0, 200)})`;
}
