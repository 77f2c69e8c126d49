import { type AgentVersionPolicy, blockedAgentVersion } from '../clusters/agent-version-policy.js';
import { isRoleName, ROLE_CATALOGUE, type RoleName } from '../roles/role-catalogue.js';
import type { JoinRequest } from './join-request.js';

/** More than this between the clocks of node and service, and the reviewer is told. */
export const SKEW_WORTH_A_WARNING_SECONDS = 60;

export const WARNING_CODES = [
  'same_key_enrolled',
  'same_machine_id',
  'name_taken',
  'clock_skew',
  'capability_missing',
  'capability_denied',
  'capability_outside_scope',
  'role_unknown',
  'agent_version_blocked',
] as const;

/** Something that a reviewer should look at before deciding. It stops nothing by itself. */
export interface JoinRequestWarning {
  code: (typeof WARNING_CODES)[number];
  detail: string;
}

/** What is known beside the request itself. */
export interface Surroundings {
  /** Clusters in which the key is, or was, an identity. */
  keyEnrolledIn: readonly string[];
  /** Unrevoked members on the machine with the same id. */
  sameMachine: readonly { clusterId: string; name: string }[];
  /** Whether an unrevoked member of the cluster has the name. */
  nameTaken: boolean;
  /** As the cluster's policy denies them. */
  deniedCapabilities: readonly string[];
  /** Roles of the join token's scope; undefined: any. */
  scopeRoles: readonly RoleName[] | undefined;
  agentVersionPolicy: AgentVersionPolicy;
}

/** What a reviewer of `request` should know. Other clusters are not named: the reviewer may not know of them. */
export function joinRequestWarnings(request: JoinRequest, around: Surroundings): JoinRequestWarning[] {
  return [
    ...identityWarnings(request, around),
    ...clockWarnings(request),
    ...request.requestedRoles.flatMap((role) => roleWarnings(role, request.reportedCapabilities, around)),
    ...scopeWarnings(request, around),
    ...versionWarnings(request, around),
  ];
}

function identityWarnings({ clusterId, nodeName }: JoinRequest, around: Surroundings): JoinRequestWarning[] {
  const { keyEnrolledIn, sameMachine, nameTaken } = around;
  const warnings: JoinRequestWarning[] = [];
  if (keyEnrolledIn.length > 0) {
    const place = keyEnrolledIn.includes(clusterId) ? 'this cluster' : 'another cluster';
    warnings.push({
      code: 'same_key_enrolled',
      detail: `The key is already the identity of a node in ${place}.`,
    });
  }
  const here = sameMachine.filter((member) => member.clusterId === clusterId).map((member) => member.name);
  if (here.length > 0) {
    warnings.push({
      code: 'same_machine_id',
      detail: `The machine is a member of this cluster already: ${here.sort().join(', ')}.`,
    });
  } else if (sameMachine.length > 0) {
    warnings.push({ code: 'same_machine_id', detail: 'The machine is a member of another cluster.' });
  }
  if (nameTaken) warnings.push({ code: 'name_taken', detail: `Another member has the name ${nodeName}.` });
  return warnings;
}

function clockWarnings({ clockSkewSeconds }: JoinRequest): JoinRequestWarning[] {
  if (Math.abs(clockSkewSeconds) <= SKEW_WORTH_A_WARNING_SECONDS) return [];
  const side = clockSkewSeconds > 0 ? 'ahead of' : 'behind';
  return [
    {
      code: 'clock_skew',
      detail: `The node's clock is ${Math.round(Math.abs(clockSkewSeconds))} s ${side} the service's.`,
    },
  ];
}

function roleWarnings(
  role: string,
  capabilities: readonly string[],
  { deniedCapabilities }: Surroundings,
): JoinRequestWarning[] {
  if (!isRoleName(role)) return [{ code: 'role_unknown', detail: `There is no role ${role}.` }];
  const { requiredCapabilities } = ROLE_CATALOGUE[role];
  const missing = requiredCapabilities.filter((name) => !capabilities.includes(name));
  const denied = requiredCapabilities.filter((name) => deniedCapabilities.includes(name));
  return [
    ...missing.map((name) => ({
      code: 'capability_missing' as const,
      detail: `${role} needs ${name}, which the node does not report.`,
    })),
    ...denied.map((name) => ({
      code: 'capability_denied' as const,
      detail: `${role} needs ${name}, which the cluster's policy denies.`,
    })),
  ];
}

function scopeWarnings(
  { reportedCapabilities }: JoinRequest,
  { scopeRoles }: Surroundings,
): JoinRequestWarning[] {
  if (scopeRoles === undefined) return [];
  const needed = new Set(scopeRoles.flatMap((role) => ROLE_CATALOGUE[role].requiredCapabilities));
  const roleCapabilities = new Set(
    Object.values(ROLE_CATALOGUE).flatMap((role) => role.requiredCapabilities),
  );
  const outside = reportedCapabilities.filter((name) => roleCapabilities.has(name) && !needed.has(name));
  if (outside.length === 0) return [];
  return [
    {
      code: 'capability_outside_scope',
      detail: `The node can do more than the roles of its token need: ${outside.join(', ')}.`,
    },
  ];
}

function versionWarnings(
  { agentVersion }: JoinRequest,
  { agentVersionPolicy }: Surroundings,
): JoinRequestWarning[] {
  const detail = blockedAgentVersion(agentVersionPolicy, agentVersion);
  return detail === null ? [] : [{ code: 'agent_version_blocked', detail }];
}
