import { spawn } from 'node:child_process';

/** A user of the operating system. */
export interface SystemUser {
  name: string;
  uid: number;
  gid: number;
}

/** How a command ended. */
export interface CommandResult {
  ok: boolean;
  /** What it wrote on both streams, or why it could not be run; trimmed. */
  output: string;
}

/** Windows cannot start a process without these. */
const PASSED_ON = ['PATH', 'SystemRoot', 'COMSPEC', 'PATHEXT', 'TEMP', 'TMP'];

/**
 * Runs a command to its end. It gets a session of its own, so that Ctrl-C in the terminal reaches neither it
 * nor what it leaves running; the working directory `/`; and an environment that holds none of our secrets,
 * no `PG*` settings of the caller and no locale but C. Never throws: what cannot be started is not `ok`.
 * @param user as whom, null for the user of this process
 */
export function runCommand(
  file: string,
  args: readonly string[],
  user: SystemUser | null,
): Promise<CommandResult> {
  const env: NodeJS.ProcessEnv = { LC_ALL: 'C' };
  for (const name of PASSED_ON) if (process.env[name] !== undefined) env[name] = process.env[name];
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      cwd: '/',
      detached: true,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      windowsHide: true,
      ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.once('error', (error) => resolve({ ok: false, output: error.message }));
    // On Windows a server left behind inherits the pipes, so that they would never close.
    child.once(process.platform === 'win32' ? 'exit' : 'close', (code) =>
      resolve({ ok: code === 0, output: output.trim() }),
    );
  });
}
