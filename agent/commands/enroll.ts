import os from 'node:os';
import { type AgentSession, finishEnrollment, withSession } from '../agent-session.js';
import type { AgentState, JoinWish } from '../agent-state.js';
import {
  baseUrlFrom,
  COMMON_OPTIONS,
  isUuid,
  openLog,
  parseOptions,
  stateDirectory,
} from '../command-line.js';
import { nodeNameFrom } from '../discovery.js';
import { AgentFailure, EXIT, type ExitCode, UsageError } from '../exit.js';
import { prepareJoin } from '../join-state.js';
import { StateStore } from '../state-store.js';
import { endLeftovers } from '../supervisor/leftovers.js';
import { pinReleaseKeys } from '../updates/release-pins.js';

export const ENROLL_HELP = `Usage: rap-node-agent enroll --url <base> --token <fjt_...> [options]

Asks a control plane to admit this host. Safe to repeat: the same directory asks with the same key.

  --url <base>          the control plane, for example http://localhost:8080
  --token <fjt_...>     the join token; better in RAP_JOIN_TOKEN, where ps does not show it
  --name <name>         name of the node (default: the host's name)
  --cluster <id>        the cluster that is meant: the token of another one is refused
  --role <role>         ask for a role; repeatable
  --capability <name>   report a capability beside those discovered; repeatable
  --no-discover         report only the capabilities given
  --fact <key=value>    report a fact, or replace a discovered one; repeatable
  --release-keys <path> take on the keys whose releases this host runs
  --wait                wait for the decision (default)
  --no-wait             leave as soon as the request is made; "run" waits for the decision
  --state-dir <path>    default: RAP_STATE_DIR, else ./rap-node-agent
  --log-level <level>   debug, info, warn, error (default: RAP_LOG_LEVEL, else info)

Without --token a request made earlier is waited for.`;

const OPTIONS = {
  ...COMMON_OPTIONS,
  url: { type: 'string' },
  token: { type: 'string' },
  name: { type: 'string' },
  cluster: { type: 'string' },
  role: { type: 'string', multiple: true },
  capability: { type: 'string', multiple: true },
  fact: { type: 'string', multiple: true },
  'no-discover': { type: 'boolean' },
  'release-keys': { type: 'string' },
  wait: { type: 'boolean' },
  'no-wait': { type: 'boolean' },
} as const;

/** Facts of the contract that are numbers; every other value from the command line stays text. */
const NUMERIC_FACTS: readonly string[] = ['cpuCount', 'memoryBytes'];

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>;

/** `rap-node-agent enroll`. @throws AgentFailure */
export async function enroll(args: readonly string[]): Promise<ExitCode> {
  const values = parseOptions(args, OPTIONS);
  if (values.help === true) {
    process.stdout.write(`${ENROLL_HELP}\n`);
    return EXIT.ok;
  }
  if (values.wait === true && values['no-wait'] === true) {
    throw new UsageError('--wait and --no-wait exclude each other');
  }
  const token = values.token ?? (process.env.RAP_JOIN_TOKEN || null);
  const baseUrl = values.url === undefined ? null : baseUrlFrom(values.url);
  const wish = joinWish(values);
  const log = openLog(values['log-level']);
  const directory = stateDirectory(values['state-dir']);
  if ((await new StateStore(directory).readState()) === null) requireOrder(baseUrl, token); // makes nothing
  const releaseKeys = values['release-keys'];
  return withSession(directory, log, async (session) => {
    if (releaseKeys !== undefined) await pinReleaseKeys(session.store, releaseKeys);
    const before = await session.store.readState();
    if (before?.enrollment.status === 'enrolled' && before.refused === null) {
      return alreadyEnrolled(session, before, baseUrl);
    }
    if (baseUrl?.startsWith('http://') && !isLoopback(baseUrl)) {
      log.warn('url.unencrypted', { detail: 'the join token and node tokens travel readable; use https' });
    }
    const wait = values['no-wait'] !== true;
    const decided = await join(session, before, { token, baseUrl, wish, wait });
    if (decided !== null) return EXIT.ok;
    throw new AgentFailure('stopped before a decision; "enroll" or "run" on the same directory goes on');
  });
}

async function join(
  session: AgentSession,
  before: AgentState | null,
  order: { token: string | null; baseUrl: string | null; wish: JoinWish; wait: boolean },
): Promise<AgentState | null> {
  const { token, baseUrl, wish, wait } = order;
  if (token === null && before !== null && before.refused === null) {
    const repeat = before.enrollment.status === 'requesting' ? before.enrollment.token : null;
    const key = await session.store.readKey(before.keyThumbprint);
    return finishEnrollment(session, before, key, { token: repeat, wait });
  }
  const place = requireOrder(baseUrl ?? before?.baseUrl ?? null, token);
  await endLeftovers(session.store.workloadsDirectory, session.log); // of an identity that may be over
  const { state, key } = await prepareJoin(session.store, { ...place, wish });
  return finishEnrollment(session, state, key, { token: place.token, wait });
}

function requireOrder(baseUrl: string | null, token: string | null): { baseUrl: string; token: string } {
  if (baseUrl === null) throw new UsageError('--url is missing');
  if (token === null) throw new UsageError('--token (or RAP_JOIN_TOKEN) is missing');
  return { baseUrl, token };
}

function alreadyEnrolled(session: AgentSession, state: AgentState, baseUrl: string | null): ExitCode {
  if (state.enrollment.status !== 'enrolled') return EXIT.failed;
  if (baseUrl !== null && baseUrl !== state.baseUrl) {
    const { directory } = session.store;
    throw new UsageError(`${directory} belongs to ${state.baseUrl}; give another --state-dir for ${baseUrl}`);
  }
  const { nodeId, clusterId } = state.enrollment;
  session.log.info('enrolled', { nodeId, clusterId, nodeName: state.wish.nodeName, already: true });
  return EXIT.ok;
}

function joinWish(values: Values): JoinWish {
  return {
    nodeName: values.name ?? nodeNameFrom(os.hostname()),
    ...(values.cluster !== undefined && { clusterId: clusterIdFrom(values.cluster) }),
    requestedRoles: values.role ?? [],
    discover: values['no-discover'] !== true,
    capabilities: values.capability ?? [],
    facts: Object.fromEntries((values.fact ?? []).map(parseFact)),
  };
}

function clusterIdFrom(text: string): string {
  if (isUuid(text)) return text.toLowerCase();
  throw new UsageError(`--cluster must be the id of a cluster, not "${text}"`);
}

function parseFact(text: string): [string, string | number] {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined)
    throw new UsageError(`--fact must be key=value, not "${text}"`);
  if (!NUMERIC_FACTS.includes(name)) return [name, value];
  if (!/^\d{1,15}$/.test(value))
    throw new UsageError(`--fact ${name} must be a whole number, not "${value}"`);
  return [name, Number(value)];
}

function isLoopback(baseUrl: string): boolean {
  const { hostname } = new URL(baseUrl);
  return hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.');
}
