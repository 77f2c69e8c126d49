import { createHash } from 'node:crypto';
import os from 'node:os';
import { canonicalJson } from '../canonical-json.js';
import { isCount, isObject, isText, isTextArray, isTextRecord } from '../json-values.js';
import type { HealthCheck, Workload } from '../snapshot-workload.js';
import { PRODUCT_NAME } from '../updates/release-pins.js';
import type { CheckOrder, Launch, RunOrder } from './service-order.js';

/** What a service is on this host: written by whoever runs the host, never by the control plane. */
export interface ServiceDefinition {
  /** Program and arguments; the program by its absolute path, or by its path in the installed release. */
  command: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string | null;
  stopSignal: NodeJS.Signals;
  stopTimeoutSeconds: number;
  version: string | null;
  /** Commands that a health check of the control plane may name, each word for word. */
  execChecks: readonly (readonly string[])[];
  /** The product whose installed release this service is run from; null: the host installs it by itself. */
  product: string | null;
  update: UpdateTerms;
}

/** How long the steps of an update may take, and what the host does for one. */
export interface UpdateTerms {
  /** A new version must be well within this time. */
  healthSeconds: number;
  /** It must stay well for so long before it counts. */
  settleSeconds: number;
  /** For so long after that it is taken back when it turns bad. */
  watchSeconds: number;
  /** For each run of a migration, and of the commands below. */
  migrationSeconds: number;
  /** After an attempt that this host was not ready for, until the next one. */
  retrySeconds: number;
  /** Saves the service's data, and brings it back as it was saved; the program by its absolute path. */
  backup: readonly string[] | null;
  restore: readonly string[] | null;
}

const DEFAULT_STOP_TIMEOUT_SECONDS = 10;
const MAX_STOP_TIMEOUT_SECONDS = 600;
const MEMBERS = [
  'command',
  'env',
  'cwd',
  'stopSignal',
  'stopTimeoutSeconds',
  'version',
  'execChecks',
  'product',
  'update',
];
export const DEFAULT_TERMS: UpdateTerms = {
  healthSeconds: 60,
  settleSeconds: 5,
  watchSeconds: 900,
  migrationSeconds: 600,
  retrySeconds: 30,
  backup: null,
  restore: null,
};
const MAX_TERM_SECONDS = 86_400;
/** What the agent tells the process; a definition must not pretend otherwise. */
const RESERVED = /^RAP_/;

/** Reads a definition. @throws Error that says what is wrong with it */
export function parseDefinition(value: unknown): ServiceDefinition {
  if (!isObject(value)) throw new Error('is no JSON object');
  const unknown = Object.keys(value).find((member) => !MEMBERS.includes(member));
  if (unknown !== undefined) throw new Error(`has a member "${unknown}" that means nothing`);
  const { command, env = {}, cwd = null, stopSignal = 'SIGTERM', version = null, execChecks = [] } = value;
  const { stopTimeoutSeconds = DEFAULT_STOP_TIMEOUT_SECONDS, product = null } = value;
  if (product !== null && (!isText(product) || !PRODUCT_NAME.test(product)))
    throw new Error('has a "product" that is no name of one');
  if (product !== null && version !== null)
    throw new Error('has a "version", although the version is that of the installed release');
  const update = parseTerms(value.update);
  if (!isTextArray(command) || !(isAbsolute(command[0]) || (product !== null && isInside(command[0])))) {
    throw new Error('must have a "command": a list of texts, the first an absolute path');
  }
  if (!isTextRecord(env)) throw new Error('has an "env" that is no object of texts');
  if (Object.keys(env).some((name) => RESERVED.test(name)))
    throw new Error('sets RAP_ variables in its "env"');
  if (cwd !== null && !isAbsolute(cwd)) throw new Error('has a "cwd" that is no absolute path');
  if (!isSignal(stopSignal)) throw new Error('has a "stopSignal" that is no signal, such as SIGTERM');
  if (!isCount(stopTimeoutSeconds) || stopTimeoutSeconds > MAX_STOP_TIMEOUT_SECONDS) {
    throw new Error(`has a "stopTimeoutSeconds" that is no whole number up to ${MAX_STOP_TIMEOUT_SECONDS}`);
  }
  if (version !== null && !isVersion(version)) {
    throw new Error('has a "version" that is no text of 1 to 64 printable characters');
  }
  if (!Array.isArray(execChecks) || !execChecks.every(isTextArray)) {
    throw new Error('has "execChecks" that are no list of lists of texts');
  }
  return { command, env, cwd, stopSignal, stopTimeoutSeconds, version, execChecks, product, update };
}

function parseTerms(value: unknown): UpdateTerms {
  if (value === undefined) return DEFAULT_TERMS;
  if (!isObject(value)) throw new Error('has an "update" that is no object');
  const unknown = Object.keys(value).find((member) => !Object.hasOwn(DEFAULT_TERMS, member));
  if (unknown !== undefined) throw new Error(`has an "update" with "${unknown}", which means nothing`);
  const { backup, restore, ...times } = { ...DEFAULT_TERMS, ...value };
  const wrong = Object.entries(times).find(
    ([, time]) => typeof time !== 'number' || !(time >= 0 && time <= MAX_TERM_SECONDS),
  );
  if (wrong !== undefined) throw new Error(`has an "update" whose "${wrong[0]}" is no number of seconds`);
  for (const command of [backup, restore]) {
    if (command !== null && !(isTextArray(command) && isAbsolute(command[0])))
      throw new Error('has an "update" with a command that is no list of texts, the first an absolute path');
  }
  if ((backup === null) !== (restore === null))
    throw new Error('has an "update" with only one of "backup" and "restore"');
  return { ...times, backup, restore };
}

/** A path that stays in the folder of the release. */
function isInside(program: string | undefined): boolean {
  return isText(program) && !program.startsWith('/') && !program.split('/').includes('..');
}

/** The order to run `workload` as `definition` says. */
export function runOrder(workload: Workload, definition: ServiceDefinition): RunOrder {
  const check = workload.healthCheck === null ? null : checkOrder(workload.healthCheck, definition);
  return { kind: 'run', launch: launchOf(workload, definition), check, restart: workload.restartPolicy };
}

function launchOf(workload: Workload, definition: ServiceDefinition): Launch {
  const { serviceType, config, secretRefs } = workload;
  const { command, env, cwd, stopSignal, stopTimeoutSeconds, version } = definition;
  const process = { serviceType, command, env, cwd, stopSignal, version, config, secretRefs };
  // The desired version is a part of it: what is installed may have changed under the same definition.
  const identity = { ...process, stopTimeoutSeconds, desiredVersion: workload.version };
  const key = createHash('sha256').update(canonicalJson(identity)).digest('base64url');
  return { ...process, key, stopTimeoutMs: stopTimeoutSeconds * 1_000 };
}

/** A check is made only of this host, and runs only commands that this host has named. */
function checkOrder(check: HealthCheck, definition: ServiceDefinition): CheckOrder {
  if (check.type === 'exec' && !definition.execChecks.some((allowed) => isSame(allowed, check.command))) {
    return { impossible: 'the command of the health check is none that this host allows' };
  }
  if (check.type === 'http' && !isOfThisHost(check.url)) {
    return { impossible: 'the URL of the health check is not one of this host' };
  }
  return { make: check };
}

function isOfThisHost(text: string): boolean {
  const { protocol, hostname } = new URL(text);
  if (protocol !== 'http:' && protocol !== 'https:') return false;
  const address = hostname.replace(/^\[(.*)\]$/, '$1');
  if (address === 'localhost' || address === '::1' || /^127(\.\d+){3}$/.test(address)) return true;
  const own = Object.values(os.networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return own.some((one) => one.address === address);
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((part, index) => part === other[index]);
}

function isAbsolute(value: unknown): value is string {
  return isText(value) && value.startsWith('/');
}

/** As the control plane takes it. */
function isVersion(value: unknown): value is string {
  return typeof value === 'string' && /^[\x21-\x7e]{1,64}$/.test(value);
}

function isSignal(value: unknown): value is NodeJS.Signals {
  return isText(value) && Object.hasOwn(os.constants.signals, value);
}
