import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ModulesContainer } from '@nestjs/core';
import type { FastifyInstance } from 'fastify';
import { createApp } from '../../src/app.js';
import { ALL_PERMISSIONS } from '../../src/common/auth/permissions.js';
import { OPERATION, type Operation } from '../../src/common/http/operation.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';

/**
 * Who may call what: written out by hand, so that no route opens or closes unseen. `!` marks what is high-risk, `~`
 * what is refused while the cluster is not authoritative.
 */
const WHO_MAY_CALL: Readonly<Record<string, string>> = {
  // Service
  getLiveness: 'public',
  getReadiness: 'public',
  getMetrics: 'public',
  getProblem: 'public',
  getServiceInfo: 'public',
  // Access
  createApiToken: 'api_tokens.create',
  listApiTokens: 'api_tokens.read',
  getApiToken: 'api_tokens.read',
  revokeApiToken: 'api_tokens.revoke',
  getMe: 'authenticated',
  getMyPermissions: 'authenticated',
  listPermissions: 'authenticated',
  getPlatformPolicy: 'platform_policy.read',
  replacePlatformPolicy: 'platform_policy.update!',
  // Clusters
  createCluster: 'clusters.create',
  listClusters: 'clusters.read',
  getCluster: 'clusters.read',
  updateCluster: 'clusters.update',
  archiveCluster: 'clusters.archive',
  getClusterPolicy: 'cluster_policies.read',
  replaceClusterPolicy: 'cluster_policies.update!~',
  getSnapshotKeys: 'public',
  getAuthority: 'authority.read',
  transitionAuthority: 'authority.transition!',
  explainAuthority: 'authority.read',
  // Trust
  getTrust: 'trust.read',
  getTrustBundle: 'public',
  getCertificateRevocationList: 'public',
  listCertificates: 'trust.read',
  listRevocations: 'trust.read',
  getRevocation: 'trust.read',
  startTrustRotation: 'trust.rotate!~',
  listTrustRotations: 'trust.read',
  getTrustRotation: 'trust.read',
  advanceTrustRotation: 'trust.rotate!~',
  // Refused by its service while the cluster is not authoritative, save for renewals in a degraded one.
  requestCertificate: 'node',
  getCertificateRenewal: 'node',
  // Nodes
  getAccessTokenKeys: 'public',
  issueNodeToken: 'public',
  sendHeartbeat: 'node',
  reportCapabilities: 'node',
  rotateIdentity: 'node',
  pollSnapshot: 'node',
  listNodes: 'nodes.read',
  getNode: 'nodes.read',
  updateNode: 'nodes.update',
  disableNode: 'nodes.disable',
  enableNode: 'nodes.disable~',
  revokeNode: 'nodes.revoke!',
  revokeNodeIdentity: 'nodes.revoke!',
  getNodeSnapshot: 'snapshots.read',
  listNodeSnapshots: 'snapshots.read',
  explainNodeSnapshot: 'snapshots.read',
  getSnapshotSchema: 'public',
  getNodeIdentity: 'nodes.read',
  acknowledgeRiskyState: 'risky_states.acknowledge',
  listNodeTimeline: 'nodes.read',
  listPlatformNodes: 'platform_nodes.read',
  getPlatformNode: 'platform_nodes.read',
  revokePlatformNode: 'platform_nodes.revoke!',
  // Node groups
  createNodeGroup: 'node_groups.manage',
  listNodeGroups: 'node_groups.read',
  getNodeGroup: 'node_groups.read',
  updateNodeGroup: 'node_groups.manage',
  deleteNodeGroup: 'node_groups.manage',
  // Roles
  listRoleCatalog: 'role_assignments.read',
  createRoleAssignment: 'role_assignments.create!~',
  createBulkRoleAssignment: 'role_assignments.create!~',
  listRoleAssignments: 'role_assignments.read',
  getRoleAssignment: 'role_assignments.read',
  disableRoleAssignment: 'role_assignments.update',
  enableRoleAssignment: 'role_assignments.update~',
  deleteRoleAssignment: 'role_assignments.delete',
  explainRoleAssignment: 'role_assignments.read',
  listRoleCoverage: 'role_coverage.read',
  getRoleCoverage: 'role_coverage.read',
  replaceRoleCoverage: 'role_coverage.update~',
  // VPN connections
  createVpnConnection: 'vpn_connections.create',
  listVpnConnections: 'vpn_connections.read',
  getVpnConnection: 'vpn_connections.read',
  updateVpnConnection: 'vpn_connections.update',
  replaceVpnAllowedNodes: 'vpn_connections.update',
  replaceVpnRoutePolicies: 'vpn_connections.update',
  deleteVpnConnection: 'vpn_connections.delete',
  // Rollouts
  planRollout: 'rollouts.read',
  createRollout: 'rollouts.create',
  listRollouts: 'rollouts.read',
  getRollout: 'rollouts.read',
  listRolloutNodes: 'rollouts.read',
  listRolloutDecisions: 'rollouts.read',
  followRollout: 'rollouts.read',
  submitRollout: 'rollouts.create',
  approveRollout: 'rollouts.approve',
  startRollout: 'rollouts.run',
  pauseRollout: 'rollouts.run',
  resumeRollout: 'rollouts.run',
  rollBackRollout: 'rollouts.run',
  cancelRollout: 'rollouts.run',
  approveRolloutWave: 'rollouts.approve',
  writeOffRolloutNode: 'rollouts.run',
  unfenceRolloutNode: 'rollouts.run',
  reportUpdate: 'node',
  createEmergencyPin: 'emergency_pins.update!',
  listEmergencyPins: 'rollouts.read',
  getEmergencyPin: 'rollouts.read',
  approveEmergencyPin: 'rollouts.approve!',
  liftEmergencyPin: 'emergency_pins.update!',
  getVersionPin: 'rollouts.read',
  putVersionPin: 'version_pins.update',
  deleteVersionPin: 'version_pins.update',
  explainVersion: 'rollouts.read',
  // Releases
  createProduct: 'products.create',
  listProducts: 'products.read',
  getProduct: 'products.read',
  updateProduct: 'products.update!',
  createSigningKey: 'signing_keys.create!',
  listSigningKeys: 'signing_keys.read',
  getSigningKey: 'signing_keys.read',
  revokeSigningKey: 'signing_keys.revoke!',
  publishRelease: 'releases.publish',
  listReleases: 'releases.read',
  getRelease: 'releases.read',
  getReleaseEnvelope: 'releases.read',
  approveRelease: 'releases.approve!',
  blockRelease: 'releases.block!',
  unblockRelease: 'releases.block!',
  uploadArtifact: 'releases.publish',
  downloadArtifact: 'releases.read',
  uploadMigrationBundle: 'releases.publish',
  downloadMigrationBundle: 'releases.read',
  downloadAssignedArtifact: 'node',
  reportUpdateCache: 'node',
  listUpdateCaches: 'nodes.read',
  listChannels: 'channels.read',
  getChannel: 'channels.read',
  moveChannel: 'channels.update',
  // Workloads; a privileged one is refused by its service to a credential that was not made for it
  putWorkload: 'workloads.update',
  getWorkload: 'workloads.read',
  deleteWorkload: 'workloads.delete',
  listNodeWorkloads: 'workloads.read',
  listWorkloads: 'workloads.read',
  listWorkloadHistory: 'workloads.read',
  getWorkloadLogs: 'workloads.read_logs',
  reportWorkload: 'node',
  getVpnLease: 'vpn_leases.read',
  listVpnLeases: 'vpn_leases.read',
  getVpnLeaseById: 'vpn_leases.read',
  explainVpnLease: 'vpn_leases.read',
  // Refused by its service while the cluster is not authoritative, save for who has the lease.
  acquireVpnLease: 'vpn_leases.acquire',
  renewVpnLease: 'vpn_leases.renew',
  releaseVpnLease: 'vpn_leases.release',
  fenceVpnLease: 'vpn_leases.fence',
  handOverVpnLease: 'vpn_leases.handover~',
  listVpnAssignments: 'vpn_connections.read',
  listOwnVpnAssignments: 'node',
  reportVpnAssignment: 'node',
  getOwnVpnLease: 'node',
  acquireOwnVpnLease: 'node',
  renewOwnVpnLease: 'node',
  releaseOwnVpnLease: 'node',
  // Audit and events
  listAuditEvents: 'audit.read',
  getAuditEvent: 'audit.read',
  exportAuditEvents: 'audit.read',
  enroll: 'public',
  getEnrollment: 'public',
  cancelEnrollment: 'public',
  listJoinRequests: 'join_requests.read',
  getJoinRequest: 'join_requests.read',
  approveJoinRequest: 'join_requests.approve!~',
  rejectJoinRequest: 'join_requests.reject',
  createJoinToken: 'join_tokens.create',
  listJoinTokens: 'join_tokens.read',
  getJoinToken: 'join_tokens.read',
  revokeJoinToken: 'join_tokens.revoke',
  getOverview: 'overview.read',
  getClusterSummary: 'clusters.read',
  listRiskyStates: 'clusters.read',
  followEvents: 'events.read',
};

/** Paths that are no operations: documents about the service, not part of it. */
const DOCUMENTS = /^\/(docs|openapi)/;

/** Metadata keys by which Nest knows routes. */
const PATH = 'path';
const METHOD = 'method';

let controlPlane: ControlPlane;
beforeAll(async () => {
  controlPlane = await startControlPlane();
});
afterAll(() => controlPlane?.close());

interface FoundRoute {
  handler: string;
  path: string;
  operation: Operation | undefined;
}

/** Every handler of every controller that the service has. */
function routes(): FoundRoute[] {
  const modules = [...controlPlane.app.get(ModulesContainer).values()];
  const controllers = new Set(
    modules.flatMap(({ controllers }) => [...controllers.values()]).map(({ metatype }) => metatype),
  );
  return [...controllers].flatMap((controller) => {
    const prototype = (controller as { prototype: Record<string, unknown> }).prototype;
    return Object.getOwnPropertyNames(prototype)
      .filter((name) => name !== 'constructor')
      .map((name) => ({ name, member: Object.getOwnPropertyDescriptor(prototype, name)?.value as unknown }))
      .filter(
        ({ member }) =>
          typeof member === 'function' &&
          Reflect.hasMetadata(PATH, member) &&
          Reflect.hasMetadata(METHOD, member),
      )
      .map(({ name, member }) => ({
        handler: `${controller?.name ?? ''}.${name}`,
        path: `/${[
          Reflect.getMetadata(PATH, controller as object),
          Reflect.getMetadata(PATH, member as object),
        ]
          .map((part: string) => part.replace(/^\/|\/$/g, ''))
          .filter((part) => part !== '')
          .join('/')}`,
        operation: Reflect.getMetadata(OPERATION, member as object) as Operation | undefined,
      }));
  });
}

function whoMayCall({ access, highRisk, guardedByAuthority }: Operation): string {
  const who = typeof access === 'string' ? access : access.permission;
  return `${who}${highRisk === true ? '!' : ''}${guardedByAuthority === true ? '~' : ''}`;
}

/** Every path that Fastify answers, whoever added it. */
async function fastifyPaths(): Promise<string[]> {
  const app = await createApp(controlPlane.runtime);
  const paths = new Set<string>();
  const fastify = app.getHttpAdapter().getInstance() as unknown as FastifyInstance;
  fastify.addHook('onRoute', ({ url }) => {
    paths.add(url);
  });
  await app.init();
  await app.close();
  return [...paths];
}

describe('the table of who may call what', () => {
  it('names every operation and says what the service does', () => {
    const found = routes().flatMap(({ operation }) =>
      operation === undefined ? [] : [[operation.id, whoMayCall(operation)]],
    );
    expect(Object.fromEntries(found)).toEqual(WHO_MAY_CALL);
  });

  it('has no route without an operation, and no operation on two routes', () => {
    const found = routes();
    expect(found.filter(({ operation }) => operation === undefined).map(({ handler }) => handler)).toEqual(
      [],
    );
    const ids = found.map(({ operation }) => operation?.id);
    expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([]);
  });

  it('covers every path that the server answers', async () => {
    const known = new Set(routes().map(({ path }) => path));
    const others = (await fastifyPaths()).filter((path) => !known.has(path) && !DOCUMENTS.test(path));
    expect(others).toEqual([]);
  });

  it('asks for no permission that the catalogue does not have', () => {
    const names = Object.values(WHO_MAY_CALL).map((who) => who.replace(/[!~]/g, ''));
    const known: readonly string[] = ['public', 'node', 'authenticated', ...ALL_PERMISSIONS];
    expect(names.filter((name) => !known.includes(name))).toEqual([]);
  });
});
