import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { connect } from 'node:net';
import type { HealthCheck } from '../snapshot-workload.js';
import { withDeadline } from '../waiting.js';

/** What an exec check runs with. */
export interface ProbeHome {
  cwd: string | null;
  env: Readonly<Record<string, string>>;
}

/**
 * Makes one check. Null: the service is well; else what is wrong, for people. It never rejects, and is cut
 * off at the timeout of the check or when `stop` aborts.
 */
export async function probe(check: HealthCheck, home: ProbeHome, stop: AbortSignal): Promise<string | null> {
  try {
    return await withDeadline([stop], check.timeoutSeconds * 1_000, async (signal) => {
      const complaint = await probeOnce(check, home, signal);
      return signal.aborted ? `no answer within ${check.timeoutSeconds} s` : complaint;
    });
  } catch (error) {
    return (error as Error).message;
  }
}

function probeOnce(check: HealthCheck, home: ProbeHome, signal: AbortSignal): Promise<string | null> {
  switch (check.type) {
    case 'exec':
      return execute(check.command, home, signal);
    case 'http':
      return request(check.url, signal);
    case 'tcp':
      return knock(check.port, signal);
  }
}

/** Well: exit code 0. What has not ended when the signal aborts is killed, with all that it started. */
async function execute(
  command: readonly string[],
  home: ProbeHome,
  signal: AbortSignal,
): Promise<string | null> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    cwd: home.cwd ?? undefined,
    env: { ...home.env },
    detached: true, // a group of its own, to be killed as one
    stdio: 'ignore',
  });
  await once(child, 'spawn');
  const kill = (): void => killGroup(child.pid ?? 0);
  if (signal.aborted) kill();
  signal.addEventListener('abort', kill, { once: true });
  const [code, killedBy] = await once(child, 'exit');
  signal.removeEventListener('abort', kill);
  if (code === 0) return null;
  return killedBy === null ? `the check ended with exit code ${code}` : `the check was killed by ${killedBy}`;
}

/** Well: any 2xx. Redirects are not followed: they could lead away from this host. */
async function request(url: string, signal: AbortSignal): Promise<string | null> {
  const { get } = url.startsWith('https:') ? https : http;
  const call = get(url, { agent: false, signal, headers: { 'user-agent': 'rap-node-agent' } });
  return settled(call, async () => {
    const [response] = (await once(call, 'response')) as [http.IncomingMessage];
    const { statusCode = 0 } = response;
    call.destroy();
    return statusCode >= 200 && statusCode < 300 ? null : `${url} answered ${statusCode}`;
  });
}

/** Well: somebody takes a connection on that port of this host, over IPv4 or IPv6. */
async function knock(port: number, signal: AbortSignal): Promise<string | null> {
  const complaint = await knockAt('127.0.0.1', port, signal);
  return complaint === null ? null : (await knockAt('::1', port, signal)) === null ? null : complaint;
}

function knockAt(host: string, port: number, signal: AbortSignal): Promise<string | null> {
  const socket = connect({ host, port, signal });
  return settled(socket, async () => {
    await once(socket, 'connect');
    socket.destroy();
    return null;
  });
}

/** `work`, with every failure of `emitter`, also a late one, as a complaint. */
async function settled(
  emitter: { on(event: 'error', listener: (error: Error) => void): unknown },
  work: () => Promise<string | null>,
): Promise<string | null> {
  emitter.on('error', () => undefined); // torn down by us, or said by the rejection below
  try {
    return await work();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return message || code || 'no connection'; // of several addresses tried at once there is only a code
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}
