import { readFileIfPresent } from '../atomic-file.js';
import { AgentFailure } from '../exit.js';
import { isObject, isText, isTextArray, isTextRecord } from '../json-values.js';
import type { SimulatedDriverConfig } from './simulated-driver.js';

/** Commands of the host that bring a tunnel up and down. */
export interface CommandDriverConfig {
  /** Brings it up and ends; exit code 0 means that it is up. */
  start: readonly string[];
  /** Takes it down and ends; called again until its exit code is 0, also when there is nothing to take down. */
  stop: readonly string[];
  env: Readonly<Record<string, string>>;
  startTimeoutSeconds: number;
  stopTimeoutSeconds: number;
}

/** How this host runs VPN connections. It is the host's own word: the control plane never sends a command. */
export type DriverConfig =
  | ({ driver: 'simulated' } & SimulatedDriverConfig)
  | ({ driver: 'command' } & CommandDriverConfig);

const DEFAULT = { workMs: 100, startTimeoutSeconds: 30, stopTimeoutSeconds: 5 };

/** Null: there is no such file. @throws AgentFailure when it says something else than a driver */
export async function readDriverConfig(file: string): Promise<DriverConfig | null> {
  const text = await readFileIfPresent(file);
  if (text === null) return null;
  const config = parse(text);
  if (typeof config === 'string') throw new AgentFailure(`${file}: ${config}`);
  return config;
}

/** The config, or what is wrong with it. */
function parse(text: string): DriverConfig | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'it is not JSON';
  }
  if (!isObject(value)) return 'it is no object';
  const { driver, file, workMs = DEFAULT.workMs, start, stop, env = {} } = value;
  if (driver === 'simulated') {
    if (!isText(file)) return '"file" must name the file for the acts';
    return isPositive(workMs) ? { driver, file, workMs } : '"workMs" must be a positive number';
  }
  if (driver !== 'command') return '"driver" must be "command" or "simulated"';
  const {
    startTimeoutSeconds = DEFAULT.startTimeoutSeconds,
    stopTimeoutSeconds = DEFAULT.stopTimeoutSeconds,
  } = value;
  if (!isCommand(start)) return '"start" must be a program with its arguments';
  if (!isCommand(stop)) return '"stop" must be a program with its arguments';
  if (!isTextRecord(env)) return '"env" must be an object of texts';
  if (!isPositive(startTimeoutSeconds) || !isPositive(stopTimeoutSeconds))
    return 'timeouts must be positive numbers of seconds';
  return { driver, start, stop, env, startTimeoutSeconds, stopTimeoutSeconds };
}

function isCommand(value: unknown): value is string[] {
  return isTextArray(value) && isText(value[0]);
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0;
}
