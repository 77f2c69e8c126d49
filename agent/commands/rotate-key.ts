import { setTimeout as sleep } from 'node:timers/promises';
import { type AgentSession, clientFor, withSession } from '../agent-session.js';
import type { AgentState } from '../agent-state.js';
import { IdentityRefused } from '../api-errors.js';
import { COMMON_OPTIONS, notEnrolled, openLog, parseOptions, stateDirectory } from '../command-line.js';
import { AgentFailure, EXIT, type ExitCode, UsageError } from '../exit.js';
import { IdentityKeys } from '../identity/identity-keys.js';
import { KeyRotation } from '../identity/key-rotation.js';
import { RotationRequests } from '../identity/rotation-requests.js';
import type { Log } from '../log.js';
import { NodeApi } from '../node-api.js';
import { DirectoryInUse, lockHolder } from '../state-lock.js';
import { StateStore } from '../state-store.js';
import { TokenSource } from '../token-source.js';

export const ROTATE_KEY_HELP = `Usage: rap-node-agent rotate-key [options]

Gives the node a new identity key in the place of the one that it has; membership, roles and certificate stay.
A running agent does it, and this waits for it; when none runs, this does it. Cut short anywhere it is safe to
repeat, and the next "run" goes on with it.

  --timeout <seconds>   how long to wait for the control plane (default: 60)
  --state-dir <path>    default: RAP_STATE_DIR, else ./rap-node-agent
  --log-level <level>   debug, info, warn, error (default: RAP_LOG_LEVEL, else info)`;

const OPTIONS = { ...COMMON_OPTIONS, timeout: { type: 'string' } } as const;
const DEFAULT_TIMEOUT_SECONDS = 60;
const LOOK_MS = 200;

/** `rap-node-agent rotate-key`. @throws AgentFailure */
export async function rotateKey(args: readonly string[]): Promise<ExitCode> {
  const values = parseOptions(args, OPTIONS);
  if (values.help === true) {
    process.stdout.write(`${ROTATE_KEY_HELP}\n`);
    return EXIT.ok;
  }
  const directory = stateDirectory(values['state-dir']);
  const log = openLog(values['log-level']);
  const seconds = Number(values.timeout ?? DEFAULT_TIMEOUT_SECONDS);
  if (!Number.isInteger(seconds) || seconds < 1)
    throw new UsageError('--timeout must be a whole number of seconds');
  const before = requireMember(await new StateStore(directory).readState(), directory);
  const requestId = await newRequest(directory, before);
  const deadline = performance.now() + seconds * 1_000;
  // The running agent may end while it is waited for; then this takes its place, with the same request.
  for (;;) {
    try {
      const isDone = await withSession(directory, log, (session) => rotateNow(session, deadline));
      if (!isDone) throw notInTime(seconds);
    } catch (error) {
      if (!(error instanceof DirectoryInUse)) throw error;
    }
    const state = requireMember(await new StateStore(directory).readState(), directory);
    if (state.lastRotation?.requestId === requestId) return report(state, log);
    if (performance.now() >= deadline) throw notInTime(seconds);
    await whileHeld(directory, requestId, deadline);
  }
}

/** The id of a request that nobody has fulfilled; one that was, and that a crash left, is taken away. */
async function newRequest(directory: string, { lastRotation }: Member): Promise<string> {
  const requests = new RotationRequests(directory);
  const id = await requests.ask();
  if (id !== lastRotation?.requestId) return id;
  await requests.clear();
  return requests.ask();
}

/** Rotates as the agent of this directory. False: stopped, or the deadline came first. */
async function rotateNow(session: AgentSession, deadline: number): Promise<boolean> {
  const { store, log, clock, stop, presence } = session;
  const state = requireMember(await store.readState(), store.directory);
  const { nodeId, clusterId } = state.enrollment;
  const api = clientFor(state, session);
  const keys = await IdentityKeys.open(store, state, log);
  const node = { nodeId, clusterId, audience: state.baseUrl };
  const tokens = new TokenSource(api, { ...node, keys }, clock, log, stop.signal);
  const requests = new RotationRequests(store.directory);
  const context = { log, presence, stop: stop.signal };
  const rotation = new KeyRotation(
    new NodeApi(api, tokens),
    node,
    keys,
    requests,
    store,
    clock,
    context,
    null,
  );
  const timer = setTimeout(() => stop.abort(), Math.max(0, deadline - performance.now()));
  try {
    return await rotation.finish();
  } catch (error) {
    if (!(error instanceof IdentityRefused)) throw error;
    throw new AgentFailure(`refused by the control plane: ${error.message}`, EXIT.refused, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until the agent that holds the directory has finished with the request, has ended, or time is up. */
async function whileHeld(directory: string, requestId: string, deadline: number): Promise<void> {
  const store = new StateStore(directory);
  while (performance.now() < deadline && (await lockHolder(directory)) !== null) {
    if ((await store.readState())?.lastRotation?.requestId === requestId) return;
    await sleep(LOOK_MS);
  }
}

type Member = AgentState & { enrollment: Extract<AgentState['enrollment'], { status: 'enrolled' }> };

function requireMember(state: AgentState | null, directory: string): Member {
  if (state === null) throw notEnrolled(directory);
  const { enrollment } = state;
  if (enrollment.status === 'enrolled' && state.refused === null) return { ...state, enrollment };
  throw new AgentFailure(`${directory} holds no membership whose key could be replaced`);
}

function report({ lastRotation, keyThumbprint }: Member, log: Log): ExitCode {
  if (lastRotation?.outcome !== 'rotated')
    throw new AgentFailure(`the key was not replaced: ${lastRotation?.detail ?? 'no reason is known'}`);
  log.info('key.current', { keyThumbprint, since: lastRotation.at });
  return EXIT.ok;
}

function notInTime(seconds: number): AgentFailure {
  return new AgentFailure(
    `the key was not replaced within ${seconds} s; the request stands, and "run" or "rotate-key" goes on with it`,
  );
}
