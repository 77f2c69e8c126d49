import type { HealthCheck, RestartPolicy } from '../snapshot-workload.js';

/** States as they are reported (API.md section 7). */
export type ReportedState =
  | 'starting'
  | 'running'
  | 'degraded'
  | 'stopping'
  | 'stopped'
  | 'failed'
  | 'unsupported';

/** All that a process is started with. */
export interface Launch {
  /** Differs from that of another launch when the process has to be another one. */
  key: string;
  serviceType: string;
  command: readonly string[];
  env: Readonly<Record<string, string>>;
  /** Null: the agent's own. */
  cwd: string | null;
  stopSignal: NodeJS.Signals;
  stopTimeoutMs: number;
  version: string | null;
  config: Readonly<Record<string, unknown>>;
  secretRefs: Readonly<Record<string, string>>;
}

/** The check to be made, or why it cannot be made on this host. */
export type CheckOrder = { make: HealthCheck } | { impossible: string };

/** That a process is to run. */
export interface RunOrder {
  kind: 'run';
  launch: Launch;
  check: CheckOrder | null;
  restart: RestartPolicy;
}

/** That no process is to run, and what is to be reported then. */
export interface RestOrder {
  kind: 'rest';
  reportedState: 'stopped' | 'failed' | 'unsupported' | 'degraded';
  version: string | null;
  message: string | null;
  /** What stands in place of a process's output. */
  logTail?: string;
}

/** What one service is to do. */
export type Order = RunOrder | RestOrder;
