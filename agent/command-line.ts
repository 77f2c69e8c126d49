import { setMaxListeners } from 'node:events';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { AgentFailure, UsageError } from './exit.js';
import { LAUNCHED_VARIABLE } from './launcher/launcher-protocol.js';
import { isLogLevel, Log } from './log.js';

export const DEFAULT_STATE_DIRECTORY = './rap-node-agent';

type Options = NonNullable<ParseArgsConfig['options']>;

/** Options that every command takes. */
export const COMMON_OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  'state-dir': { type: 'string' },
  'log-level': { type: 'string' },
} as const satisfies Options;

/** Parses strictly: no unknown option, no positional argument. @throws UsageError in one line */
export function parseOptions<const T extends Options>(args: readonly string[], options: T) {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    // Node's text goes on with advice about `--`; its first sentence says what is wrong.
    const [what = 'wrong option'] = (error as Error).message.split(/\. |\n/);
    throw new UsageError(what.replace(/\.$/, ''));
  }
}

/** `--state-dir`, else RAP_STATE_DIR, else `./rap-node-agent`. */
export function stateDirectory(option: string | undefined): string {
  return option ?? (process.env.RAP_STATE_DIR || DEFAULT_STATE_DIRECTORY);
}

/** A log on stdout at `--log-level`, else RAP_LOG_LEVEL, else `info`. @throws UsageError */
export function openLog(option: string | undefined): Log {
  const level = option ?? (process.env.RAP_LOG_LEVEL || 'info');
  if (isLogLevel(level)) return new Log(level);
  throw new UsageError(`log level "${level}" is none of debug, info, warn, error`);
}

/** Null when the option was not given. @throws UsageError */
export function wholeNumber(
  option: string,
  text: string | undefined,
  { min, max }: { min: number; max: number },
): number | null {
  if (text === undefined) return null;
  const value = /^\d{1,8}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`${option} must be a whole number from ${min} to ${max}, not "${text}"`);
}

/**
 * The service's URL in the form that proofs and assertions name as audience: no trailing slash.
 * @throws UsageError
 */
export function baseUrlFrom(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw new UsageError(`--url must be an http or https URL, not "${text}"`);
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new UsageError('--url must have no user, query or fragment');
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}

/**
 * A signal that aborts on SIGINT and SIGTERM, and the function that stops listening. A second signal ends
 * the process the hard way; not below a launcher, which kills it in its time: whoever stops all processes of a unit
 * tells both, and the launcher passes it on.
 */
export function stopOnSignals(log: Log): { stop: AbortController; release: () => void } {
  const stop = new AbortController();
  setMaxListeners(0, stop.signal); // every loop of the agent listens to it
  const onSignal = (signal: NodeJS.Signals): void => {
    log.info('stopping', { signal });
    if (process.env[LAUNCHED_VARIABLE] === undefined) release();
    stop.abort();
  };
  const release = (): void => {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return { stop, release };
}

/** Whether a text is an id of the control plane. */
export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}

/** The state directory has no enrollment in it. */
export function notEnrolled(directory: string): AgentFailure {
  return new AgentFailure(`${directory} holds no enrollment: run "rap-node-agent enroll" first`);
}
