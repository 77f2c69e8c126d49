import { isCount, isObject, isText, isTextArray, isTextRecord } from './json-values.js';

/** How a service is asked whether it is well. */
export type HealthCheck = {
  intervalSeconds: number;
  timeoutSeconds: number;
  /** So many failures in a row make the service unhealthy. */
  failureThreshold: number;
} & (
  | { type: 'exec'; command: readonly string[] }
  | { type: 'http'; url: string }
  | { type: 'tcp'; port: number }
);

/** What is done when a service ends by itself, or is unhealthy. */
export interface RestartPolicy {
  mode: 'always' | 'on_failure' | 'never';
  initialDelaySeconds: number;
  maxDelaySeconds: number;
  /** A service that ran for so long begins anew with the initial delay. */
  resetAfterSeconds: number;
}

/** A workload as a snapshot carries it: what an operator wants to run on this node. */
export interface Workload {
  serviceType: string;
  desiredState: 'running' | 'stopped';
  runtime: string;
  version: string | null;
  config: Record<string, unknown>;
  /** Where secrets are to be had; never the secrets themselves. */
  secretRefs: Record<string, string>;
  healthCheck: HealthCheck | null;
  restartPolicy: RestartPolicy;
  whenControlPlaneLost: 'keep' | 'stop';
}

/** A workload in words that this agent does not know. It is reported and never run. */
export interface UnreadableWorkload {
  serviceType: string;
  unreadable: string;
}

export type SnapshotWorkload = Workload | UnreadableWorkload;

/** Timers end at 24 days. */
const MAX_SECONDS = 2_000_000;
/** Names folders and files of this host, so nothing else is taken. */
const SERVICE_TYPE = /^[a-z][a-z0-9.-]{0,62}$/;

/**
 * Reads a snapshot's `workloads`; null when it is no list. One entry that cannot be read must not keep the
 * node on an old snapshot, with roles that have ended since: it is kept as unreadable. An entry without a
 * usable service type cannot even be reported and is left out; of two with the same one the first counts.
 */
export function parseWorkloads(value: unknown): SnapshotWorkload[] | null {
  if (value === undefined) return [];
  if (!Array.isArray(value)) return null;
  const named = value.filter(isObject).filter(({ serviceType }) => isServiceType(serviceType));
  const byType = new Map<string, SnapshotWorkload>();
  for (const fields of named) {
    const workload = parseWorkload(fields, String(fields.serviceType));
    if (!byType.has(workload.serviceType)) byType.set(workload.serviceType, workload);
  }
  return [...byType.values()];
}

function isServiceType(value: unknown): value is string {
  return typeof value === 'string' && SERVICE_TYPE.test(value);
}

function parseWorkload(fields: Record<string, unknown>, serviceType: string): SnapshotWorkload {
  const {
    desiredState,
    runtime,
    version = null,
    config = {},
    secretRefs = {},
    whenControlPlaneLost,
  } = fields;
  const healthCheck = parseHealthCheck(fields.healthCheck ?? null);
  const restartPolicy = parseRestartPolicy(fields.restartPolicy);
  const unreadable = (member: string): UnreadableWorkload => ({
    serviceType,
    unreadable: `this agent does not understand the workload's ${member}`,
  });
  if (desiredState !== 'running' && desiredState !== 'stopped') return unreadable('desiredState');
  if (!isText(runtime)) return unreadable('runtime');
  if (version !== null && !isText(version)) return unreadable('version');
  if (!isObject(config)) return unreadable('config');
  if (!isTextRecord(secretRefs)) return unreadable('secretRefs');
  if (healthCheck === undefined) return unreadable('healthCheck');
  if (restartPolicy === undefined) return unreadable('restartPolicy');
  if (whenControlPlaneLost !== 'keep' && whenControlPlaneLost !== 'stop')
    return unreadable('whenControlPlaneLost');
  const wanted = { serviceType, desiredState, runtime, version, config, secretRefs } as const;
  return { ...wanted, healthCheck, restartPolicy, whenControlPlaneLost };
}

/** Null: there is none. Undefined: not understood. */
function parseHealthCheck(value: unknown): HealthCheck | null | undefined {
  if (value === null) return null;
  if (!isObject(value)) return undefined;
  const { type, command, url, port, intervalSeconds, timeoutSeconds, failureThreshold } = value;
  if (!isSeconds(intervalSeconds) || !isSeconds(timeoutSeconds) || !isCount(failureThreshold))
    return undefined;
  if (intervalSeconds === 0 || timeoutSeconds === 0 || failureThreshold === 0) return undefined;
  const timing = { intervalSeconds, timeoutSeconds, failureThreshold };
  if (type === 'exec' && isTextArray(command) && command.length > 0) return { type, command, ...timing };
  if (type === 'http' && isText(url) && URL.canParse(url)) return { type, url, ...timing };
  if (type === 'tcp' && isCount(port) && port > 0 && port < 65_536) return { type, port, ...timing };
  return undefined;
}

/** Undefined: not understood. */
function parseRestartPolicy(value: unknown): RestartPolicy | undefined {
  if (!isObject(value)) return undefined;
  const { mode, initialDelaySeconds, maxDelaySeconds, resetAfterSeconds } = value;
  if (mode !== 'always' && mode !== 'on_failure' && mode !== 'never') return undefined;
  if (!isSeconds(initialDelaySeconds) || !isSeconds(maxDelaySeconds) || !isSeconds(resetAfterSeconds)) {
    return undefined;
  }
  return { mode, initialDelaySeconds, maxDelaySeconds, resetAfterSeconds };
}

function isSeconds(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= MAX_SECONDS;
}
