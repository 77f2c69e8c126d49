import { hasLapsed, rolesInTime } from '../effective-roles.js';
import type { Snapshot } from '../snapshot.js';
import type { SnapshotWorkload, Workload } from '../snapshot-workload.js';
import type { RestOrder } from './service-order.js';

/** Runs under any role: it serves nobody, and shows that supervision works. */
export const ECHO = 'synthetic.echo';

/**
 * Why no process of this workload may run at `now`, as the order to be at rest; null when the snapshot
 * allows one. What this host has to run is not looked at. Never null without a role in force.
 */
export function refusalOf(workload: SnapshotWorkload, snapshot: Snapshot, now: Date): RestOrder | null {
  if ('unreadable' in workload) return rest('unsupported', workload.unreadable);
  if (snapshot.membershipStatus !== 'active') return rest('stopped', 'the membership is not active');
  if (workload.desiredState === 'stopped') return rest('stopped', null);
  if (hasLapsed(snapshot, now) && workload.whenControlPlaneLost === 'stop') {
    return rest('stopped', 'the control plane has been lost for longer than the grace allows');
  }
  // Roles end at their own instant, with or without a control plane; `keep` outlives the snapshot's end only.
  if (!rolesInTime(snapshot, now).some((role) => covers(role, workload.serviceType))) {
    return rest('stopped', `no role in force on this node covers ${workload.serviceType}`);
  }
  return workload.runtime === 'native' ? null : unsupportedRuntime(workload);
}

/** A role's service type bears its name. */
function covers(role: string, serviceType: string): boolean {
  return serviceType === ECHO || role === serviceType;
}

function unsupportedRuntime({ runtime }: Workload): RestOrder {
  return rest('unsupported', `this agent does not run workloads of runtime "${runtime}"`);
}

function rest(reportedState: RestOrder['reportedState'], message: string | null): RestOrder {
  return { kind: 'rest', reportedState, version: null, message };
}
