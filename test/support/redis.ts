import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { findFreePort } from '../../src/common/database/embedded/free-port.js';

/** A Redis of a test's own: a real process that keeps nothing on disk. */
export interface TestRedis {
  readonly url: string;
  /** Ends it in an orderly way. */
  stop(): Promise<void>;
  /** Kills it as a crash would; all its data is gone. */
  kill(): Promise<void>;
  /** Starts an empty one on the same port after `stop` or `kill`. */
  restart(): Promise<void>;
}

/** Whether this machine has the program that `startRedis` runs. */
export const hasRedis = ((): boolean => {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

/** Starts `redis-server` on a free loopback port. @throws when it does not come up */
export async function startRedis(): Promise<TestRedis> {
  const port = await findFreePort();
  let server = await run(port);
  const end = async (signal: NodeJS.Signals) => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const gone = once(server, 'exit');
    server.kill(signal);
    await gone;
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    restart: async () => {
      server = await run(port);
    },
  };
}

async function run(port: number): Promise<ChildProcess> {
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const server = spawn('redis-server', settings, { cwd: '/', stdio: ['ignore', 'pipe', 'ignore'] });
  await new Promise<void>((resolve, reject) => {
    let output = '';
    server.once('error', reject);
    server.once('exit', () => reject(new Error(`redis-server did not start:\n${output}`)));
    server.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes('Ready to accept connections')) resolve();
    });
  });
  // Its further output is nobody's business and must not keep the test process alive.
  server.removeAllListeners('exit');
  server.stdout.removeAllListeners('data');
  server.stdout.resume();
  return server;
}
