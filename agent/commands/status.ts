import type { AgentState } from '../agent-state.js';
import { COMMON_OPTIONS, notEnrolled, parseOptions, stateDirectory } from '../command-line.js';
import { effectiveRoles } from '../effective-roles.js';
import { EXIT, type ExitCode } from '../exit.js';
import { readHeldSnapshot } from '../held-snapshot.js';
import { ServerClock } from '../server-clock.js';
import type { SnapshotWorkload } from '../snapshot-workload.js';
import { lockHolder } from '../state-lock.js';
import { StateStore } from '../state-store.js';
import { runningIn } from '../supervisor/leftovers.js';
import { readTrustSummary, type TrustSummary } from '../trust/trust-summary.js';

export const STATUS_HELP = `Usage: rap-node-agent status [options]

Shows what this node is and what it may do now, from its state directory; asks nobody.

  --json                one JSON object
  --state-dir <path>    default: RAP_STATE_DIR, else ./rap-node-agent`;

const OPTIONS = { ...COMMON_OPTIONS, json: { type: 'boolean' } } as const;

/** What `status --json` prints; null where there is nothing (yet). */
export interface StatusReport extends TrustSummary {
  status: 'requesting' | 'pending' | 'declined' | 'enrolled' | 'refused';
  reason: string | null;
  url: string;
  nodeName: string;
  nodeId: string | null;
  clusterId: string | null;
  joinRequestId: string | null;
  nodeFingerprint: string;
  /** A change of the key is under way: the one that is to take its place. */
  nextNodeFingerprint: string | null;
  snapshot: { generation: number; term: number; issuedAt: string; expiresAt: string } | null;
  /** Why the stored snapshot is not believed. */
  snapshotRefused: string | null;
  /** In force now: validity times and expiry applied. */
  roles: string[];
  /** What is wanted here, and the process of each that runs. */
  workloads: { serviceType: string; desiredState: string | null; pid: number | null }[];
  lastContactAt: string | null;
  /** The process of a running agent. */
  pid: number | null;
}

/** `rap-node-agent status`. @throws AgentFailure */
export async function status(args: readonly string[]): Promise<ExitCode> {
  const values = parseOptions(args, OPTIONS);
  if (values.help === true) {
    process.stdout.write(`${STATUS_HELP}\n`);
    return EXIT.ok;
  }
  const report = await statusReport(stateDirectory(values['state-dir']));
  process.stdout.write(values.json === true ? `${JSON.stringify(report, null, 2)}\n` : asText(report));
  return EXIT.ok;
}

/** Reads the directory; takes no lock and changes nothing. @throws AgentFailure when nothing is there */
export async function statusReport(directory: string): Promise<StatusReport> {
  const store = new StateStore(directory);
  const state = await store.readState();
  if (state === null) throw notEnrolled(directory);
  const contact = await store.readContact();
  const stored = await readHeldSnapshot(store, state);
  const snapshot = stored !== null && 'snapshot' in stored ? stored.snapshot : null;
  const now = new ServerClock(contact).now();
  return {
    ...identityOf(state),
    ...(await readTrustSummary(directory, now)),
    snapshot: snapshot && {
      generation: snapshot.generation,
      term: snapshot.authorityTerm,
      issuedAt: snapshot.issuedAt,
      expiresAt: snapshot.expiresAt,
    },
    snapshotRefused: stored !== null && 'refused' in stored ? stored.refused : null,
    roles: snapshot === null || state.refused !== null ? [] : effectiveRoles(snapshot, now),
    workloads: await workloadsOf(snapshot?.workloads ?? [], store.workloadsDirectory),
    lastContactAt: contact?.lastContactAt ?? null,
    pid: await lockHolder(directory),
  };
}

/** What the snapshot wants, and what runs although it does not. */
async function workloadsOf(
  wanted: readonly SnapshotWorkload[],
  directory: string,
): Promise<StatusReport['workloads']> {
  const running = await runningIn(directory);
  const types = new Set([...wanted.map(({ serviceType }) => serviceType), ...running.keys()]);
  return [...types].sort().map((serviceType) => {
    const workload = wanted.find((each) => each.serviceType === serviceType);
    const desiredState = workload !== undefined && 'desiredState' in workload ? workload.desiredState : null;
    return { serviceType, desiredState, pid: running.get(serviceType) ?? null };
  });
}

function identityOf(state: AgentState) {
  const { enrollment } = state;
  const declined = enrollment.status === 'declined' ? (enrollment.reason ?? enrollment.outcome) : null;
  return {
    status: state.refused === null ? enrollment.status : ('refused' as const),
    reason: state.refused?.reason ?? declined,
    url: state.baseUrl,
    nodeName: state.wish.nodeName,
    nodeId: enrollment.status === 'enrolled' ? enrollment.nodeId : null,
    clusterId: 'clusterId' in enrollment ? enrollment.clusterId : null,
    joinRequestId: enrollment.status === 'pending' ? enrollment.joinRequestId : null,
    nodeFingerprint: state.keyThumbprint,
    nextNodeFingerprint: state.rotation?.keyThumbprint ?? null,
  };
}

function certificateText({ certificate }: StatusReport): string {
  if (certificate === null) return 'none yet';
  const { serial, notAfter, isExpired } = certificate;
  return `${serial}, ${isExpired ? 'expired' : 'until'} ${notAfter}`;
}

function asText(report: StatusReport): string {
  const { snapshot } = report;
  const held = snapshot && `generation ${snapshot.generation}, term ${snapshot.term}`;
  const refused = report.snapshotRefused && `not believed: ${report.snapshotRefused}`;
  const rows: [string, string | null][] = [
    ['status', report.reason === null ? report.status : `${report.status} (${report.reason})`],
    ['node', report.nodeId === null ? report.nodeName : `${report.nodeName} (${report.nodeId})`],
    ['cluster', report.clusterId],
    ['control plane', report.url],
    ['join request', report.joinRequestId],
    ['fingerprint', report.nodeFingerprint],
    ['next key', report.nextNodeFingerprint],
    ['certificate', certificateText(report)],
    ['snapshot', held ?? refused ?? 'none yet'],
    ['expires', snapshot?.expiresAt ?? null],
    ['roles now', report.roles.length === 0 ? 'none' : report.roles.join(', ')],
    ...report.workloads.map(workloadRow),
    ['last contact', report.lastContactAt ?? 'never'],
    ['process', report.pid === null ? 'not running' : `running (pid ${report.pid})`],
  ];
  const shown = rows.filter(([, value]) => value !== null);
  return shown.map(([name, value]) => `${name.padEnd(14)}${value}\n`).join('');
}

function workloadRow({
  serviceType,
  desiredState,
  pid,
}: StatusReport['workloads'][number]): [string, string] {
  const process = pid === null ? 'no process' : `process ${pid}`;
  return ['workload', `${serviceType}: ${desiredState ?? 'not'} wanted, ${process}`];
}
