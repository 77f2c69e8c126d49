import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { projectRoot } from '../../src/common/project-root.js';

/** How a process ended. */
export interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** The service as a process of its own, as `npm start` runs it. */
export interface ServiceProcess {
  readonly pid: number;
  /** Where it listens; empty for a worker. */
  readonly url: string;
  /** Everything that it has written so far. */
  output(): string;
  /** Sends a signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<Ending>;
  readonly ended: Promise<Ending>;
}

const BUILD = `
  import { build, isBuilt } from './scripts/lib/build.mjs';
  import { withSetupLock } from './scripts/lib/setup-lock.mjs';
  if (!isBuilt()) await withSetupLock(async () => { if (!isBuilt()) await build(); });`;

/** Compiles the service where that is not done. */
export async function buildService(): Promise<void> {
  await promisify(execFile)(process.execPath, ['--input-type=module', '-e', BUILD], { cwd: projectRoot() });
}

/** Runs the service to its end, for starts that are to fail. */
export async function runService(env: Record<string, string>): Promise<Ending & { output: string }> {
  return toItsEnd(launch('main.js', env));
}

/** Runs `fabric-admin` to its end. */
export async function runAdmin(
  args: readonly string[],
  env: Record<string, string>,
): Promise<Ending & { output: string }> {
  return toItsEnd(launch('admin.js', env, args));
}

/** Runs `fabric-release` to its end. */
export async function runReleaseTool(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Ending & { output: string }> {
  return toItsEnd(launch('release.js', env, args));
}

async function toItsEnd({ child, output, ended }: Launched): Promise<Ending & { output: string }> {
  const ending = await ended;
  child.unref();
  return { ...ending, output: output() };
}

/** Starts the service and waits until it says that it is up. @throws Error with its output when it ends before that */
export async function startService(env: Record<string, string>): Promise<ServiceProcess> {
  const { child, output, ended } = launch('main.js', env);
  await new Promise<void>((resolve, reject) => {
    child.stdout?.on('data', () => {
      if (/ is up\./.test(output()) && (/Stop with Ctrl-C/.test(output()) || /worker is up/.test(output())))
        resolve();
    });
    void ended.then(() => reject(new Error(`the service ended: ${output()}`)));
  });
  const url = /^ {2}URL +(\S+)$/m.exec(output())?.[1] ?? '';
  return {
    pid: child.pid ?? 0,
    url,
    output,
    end: async (signal) => {
      child.kill(signal);
      return ended;
    },
    ended,
  };
}

interface Launched {
  child: ChildProcess;
  output: () => string;
  ended: Promise<Ending>;
}

function launch(program: string, env: Record<string, string>, args: readonly string[] = []): Launched {
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(process.execPath, [join(projectRoot(), 'dist', 'src', program), ...args], {
    cwd: projectRoot(),
    env: { PATH, HOME, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8');
    stream?.on('data', (part: string) => {
      text += part;
    });
  }
  const ended = once(child, 'close').then(([code, signal]): Ending => ({ code, signal }));
  return { child, output: () => text, ended };
}
