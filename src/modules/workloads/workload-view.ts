import { twoPartEtag } from '../../common/http/etag.js';
import type { DesiredWorkload, Workload } from './workload.js';
import type { WorkloadObstacle } from './workload-cover.js';
import { isInSync, outOfSyncReason } from './workload-sync.js';
import type { WorkloadView } from './workloads.schema.js';

/** What is shown of a workload that nobody wants. */
const NOTHING_DESIRED: Pick<WorkloadView, keyof DesiredWorkload> = {
  desiredState: null,
  runtime: null,
  version: null,
  config: {},
  secretRefs: {},
  healthCheck: null,
  restartPolicy: null,
  whenControlPlaneLost: null,
  privileged: false,
};

/** The workload as the API shows it. @param obstacle why its node may not run it now */
export function workloadView(workload: Workload, obstacle: WorkloadObstacle | null): WorkloadView {
  const { desired, approval, createdAt, desiredAt, desiredBy, reportedAt, stateSince, ...rest } = workload;
  return {
    ...rest,
    ...(desired ?? NOTHING_DESIRED),
    privilegedApprovedBy: approval?.by ?? null,
    privilegedApprovedAt: approval === null ? null : new Date(approval.at).toISOString(),
    effective: obstacle === null,
    ineffectiveReason: obstacle,
    reportedAt: reportedAt?.toISOString() ?? null,
    stateSince: stateSince?.toISOString() ?? null,
    inSync: isInSync(desired, workload),
    outOfSyncReason: outOfSyncReason(desired, workload, obstacle),
    createdAt: createdAt.toISOString(),
    updatedAt: desiredAt?.toISOString() ?? null,
    updatedBy: desiredBy,
  };
}

/** `"<config>.<observed>"`: what the agent reports, and what the node may do, stop no operator's change. */
export function workloadEtag(view: WorkloadView): string {
  const { clusterId, nodeId, serviceType, desiredState, runtime, version, config, secretRefs, ...more } =
    view;
  const { healthCheck, restartPolicy, whenControlPlaneLost, privileged, ...rest } = more;
  const { privilegedApprovedBy, privilegedApprovedAt, ...observed } = rest;
  const key = { clusterId, nodeId, serviceType };
  const what = { desiredState, runtime, version, config, secretRefs };
  const how = { healthCheck, restartPolicy, whenControlPlaneLost, privileged };
  return twoPartEtag({ ...key, ...what, ...how, privilegedApprovedBy, privilegedApprovedAt }, observed);
}
