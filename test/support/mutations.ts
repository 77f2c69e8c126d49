import { randomUUID } from 'node:crypto';
import type { Api } from './api.js';
import type { ControlPlane } from './control-plane.js';
import { created, given, unique } from './given.js';
import { OpenSsl } from './openssl.js';
import { envelopeOf, manifestOf, migrationOf, Publisher, releaseKey, testFile } from './publisher.js';
import { RolloutStage, type ToldUpdate, type UpdatingNode } from './rollouts/stage.js';
import { freshKey, rotationBody } from './rotation.js';
import { admittedNode, TestNode } from './test-node.js';
import { admittedCache } from './update-caches.js';

/** A valid call of an operation that changes something. */
export interface MutationCall {
  method: 'post' | 'put' | 'patch' | 'delete';
  path: string;
  body?: unknown;
  /** Who calls, where it is a node. */
  as?: Api;
}

/** How an operation is called, and what it writes into the audit log. */
export interface Mutation {
  /** Makes what the call needs; the call itself is left to the test, and changes something. */
  prepare(world: World): Promise<MutationCall>;
  /** Actions of its events. */
  actions: readonly string[];
}

interface WorldRollout {
  stage: RolloutStage;
  id: string;
  path: string;
}

/** Everything a call may need, made through the API. */
export class World {
  readonly api: Api;

  constructor(readonly controlPlane: ControlPlane) {
    this.api = controlPlane.api;
  }

  async clusterId(): Promise<string> {
    return (await given(this.controlPlane).cluster()).id;
  }

  node(): Promise<TestNode> {
    return admittedNode(this.controlPlane);
  }

  /** A node that asks to be admitted. */
  async applicant(): Promise<TestNode> {
    const { token } = await given(this.controlPlane).joinToken(await this.clusterId());
    const node = await TestNode.make(this.controlPlane.url);
    created(await node.enroll(token));
    return node;
  }

  /** A node with a role, and the path of the assignment. */
  async assignment(): Promise<{ node: TestNode; path: string }> {
    const node = await this.node();
    const body = { nodeId: node.nodeId, role: 'vpn-exit' };
    const path = `/clusters/${node.clusterId}/role-assignments`;
    const { id } = created(await this.api.post(path, body)) as { id: string };
    return { node, path: `${path}/${id}` };
  }

  /** The path of a VPN connection, and a node that may hold it. */
  async vpnConnection(): Promise<{ node: TestNode; path: string }> {
    const { node } = await this.assignment();
    const { id } = await given(this.controlPlane).vpnConnection(node.clusterId, {
      allowedNodeIds: [node.nodeId],
    });
    return { node, path: `/clusters/${node.clusterId}/vpn-connections/${id}` };
  }

  /** The path of a VPN connection, and who holds it by which token. */
  async vpnLease(): Promise<{
    node: TestNode;
    path: string;
    holder: { nodeId: string; fencingToken: number };
  }> {
    const { node, path } = await this.vpnConnection();
    const { nodeId } = node;
    const lease = created(await this.api.post(`${path}/lease/acquire`, { nodeId })) as {
      fencingToken: number;
    };
    return { node, path, holder: { nodeId, fencingToken: lease.fencingToken } };
  }

  /** A product with a key. */
  publisher(): Promise<Publisher> {
    return Publisher.make(this.api);
  }

  /** A cluster with a node whose agent can be updated. */
  rolloutStage(): Promise<RolloutStage> {
    return RolloutStage.open(this.controlPlane, 1);
  }

  /** Where a node is pinned. */
  async pinnable(): Promise<{ path: string }> {
    const { clusterId, nodes, publisher } = await this.rolloutStage();
    return { path: `/clusters/${clusterId}/nodes/${nodes[0]?.id}/pins/${publisher.product}` };
  }

  /** A cluster, and the body of an emergency pin of its node. */
  async emergency(): Promise<{ clusterId: string; body: Record<string, unknown> }> {
    const { clusterId, publisher } = await this.rolloutStage();
    const [row] = await this.controlPlane.database.query<{ until: Date }>(
      `SELECT fabric_now() + interval '1 hour' AS until`,
    );
    const expiresAt = row?.until.toISOString();
    const reason = '1.0.0 drops sessions.';
    return {
      clusterId,
      body: { product: publisher.product, version: '2.0.0', scope: { all: true }, reason, expiresAt },
    };
  }

  async draftedRollout(): Promise<WorldRollout> {
    const stage = await this.rolloutStage();
    const id = await stage.draft();
    return { stage, id, path: `${stage.path}/${id}` };
  }

  async startedRollout(strategy: Record<string, unknown> = {}): Promise<WorldRollout> {
    const stage = await this.rolloutStage();
    const id = await stage.started(strategy);
    return { stage, id, path: `${stage.path}/${id}` };
  }

  /** A rollout whose node may go out of service. */
  async grantedRollout(): Promise<WorldRollout & { node: UpdatingNode; update: ToldUpdate }> {
    const rollout = await this.startedRollout();
    const [node] = rollout.stage.nodes;
    const update = (await node?.told()) ?? null;
    if (node === undefined || update === null) throw new Error('the node is told of no update');
    await node.prepare(update);
    return { ...rollout, node, update };
  }

  /** A node whose key two agents use. */
  async suspect(): Promise<TestNode> {
    const node = await this.node();
    const api = await node.api();
    const [one, other] = [randomUUID(), randomUUID()];
    for (const [agentInstanceId, sequence] of [
      [one, 1],
      [other, 1],
      [one, 2],
    ] as const) {
      created(
        await api.post('/node-agents/me/heartbeat', { agentVersion: '0.1.0', agentInstanceId, sequence }),
      );
    }
    return node;
  }

  async group(): Promise<string> {
    const path = `/clusters/${await this.clusterId()}/node-groups`;
    const { id } = created(await this.api.post(path, { name: unique('group') })) as { id: string };
    return `${path}/${id}`;
  }

  async apiToken(
    input: Record<string, unknown> = { role: 'auditor' },
  ): Promise<{ id: string; token: string }> {
    const answer = await this.api.post('/api-tokens', { name: unique('token'), ...input });
    return created(answer) as { id: string; token: string };
  }
}

const nodePath = ({ clusterId, nodeId }: TestNode): string => `/clusters/${clusterId}/nodes/${nodeId}`;
const requestPath = ({ clusterId, joinRequestId }: TestNode): string =>
  `/clusters/${clusterId}/join-requests/${joinRequestId}`;

/** The node's form of a call upon the lease of the connection at `path`. */
const ownLeasePath = (path: string, what: string): string =>
  `/node-agents/me/vpn-connections/${path.split('/').at(-1)}/lease/${what}`;

/** Every operation by which people and scripts change something. A route without a row here fails the tests. */
export const ADMIN_MUTATIONS: Readonly<Record<string, Mutation>> = {
  createApiToken: {
    prepare: async () => ({ method: 'post', path: '/api-tokens', body: { name: 'deploy', role: 'auditor' } }),
    actions: ['api_token.created'],
  },
  revokeApiToken: {
    prepare: async (world) => ({ method: 'delete', path: `/api-tokens/${(await world.apiToken()).id}` }),
    actions: ['api_token.revoked'],
  },
  createCluster: {
    prepare: async () => ({
      method: 'post',
      path: '/clusters',
      body: { name: 'Edge', slug: unique('edge') },
    }),
    actions: ['cluster.created'],
  },
  updateCluster: {
    prepare: async (world) => ({
      method: 'patch',
      path: `/clusters/${await world.clusterId()}`,
      body: { region: 'north' },
    }),
    actions: ['cluster.updated'],
  },
  archiveCluster: {
    prepare: async (world) => ({ method: 'delete', path: `/clusters/${await world.clusterId()}` }),
    actions: ['cluster.archived'],
  },
  replacePlatformPolicy: {
    prepare: async (world) => {
      created(await world.api.put('/policy', {}));
      return { method: 'put', path: '/policy', body: { releaseSelfApproval: false } };
    },
    actions: ['platform_policy.updated'],
  },
  replaceClusterPolicy: {
    prepare: async (world) => {
      const { clusterId } = await world.node();
      return { method: 'put', path: `/clusters/${clusterId}/policy`, body: { degradedGraceSeconds: 60 } };
    },
    actions: ['cluster_policy.updated'],
  },
  transitionAuthority: {
    prepare: async (world) => {
      const path = `/clusters/${(await world.node()).clusterId}/authority`;
      const { term } = created(await world.api.get(path)) as { term: number };
      const body = { to: 'partitioned', reason: 'A drill.', expectedTerm: term };
      return { method: 'post', path: `${path}/transitions`, body };
    },
    actions: ['authority.transitioned'],
  },
  updateNode: {
    prepare: async (world) => ({
      method: 'patch',
      path: nodePath(await world.node()),
      body: { name: unique('renamed') },
    }),
    actions: ['node.updated'],
  },
  disableNode: {
    prepare: async (world) => ({
      method: 'post',
      path: `${nodePath((await world.assignment()).node)}/disable`,
      body: {},
    }),
    actions: ['node.disabled'],
  },
  enableNode: {
    prepare: async (world) => {
      const { node } = await world.assignment();
      created(await world.api.post(`${nodePath(node)}/disable`));
      return { method: 'post', path: `${nodePath(node)}/enable` };
    },
    actions: ['node.enabled'],
  },
  revokeNode: {
    prepare: async (world) => ({
      method: 'post',
      path: `${nodePath((await world.assignment()).node)}/revoke`,
      body: { reason: 'Stolen.' },
    }),
    actions: ['node.revoked'],
  },
  revokeNodeIdentity: {
    prepare: async (world) => {
      const { node } = await world.assignment();
      const { keys } = created(await world.api.get(`${nodePath(node)}/identity`)) as {
        keys: { id: string }[];
      };
      return {
        method: 'post',
        path: `${nodePath(node)}/identities/${keys[0]?.id}/revoke`,
        body: { reason: 'Leaked.' },
      };
    },
    actions: ['node_identity.revoked', 'node.disabled'],
  },
  revokePlatformNode: {
    prepare: async (world) => ({
      method: 'post',
      path: `/nodes/${(await world.node()).nodeId}/revoke`,
      body: { reason: 'Stolen.' },
    }),
    actions: ['node.revoked'],
  },
  createNodeGroup: {
    prepare: async (world) => ({
      method: 'post',
      path: `/clusters/${await world.clusterId()}/node-groups`,
      body: { name: 'edge' },
    }),
    actions: ['node_group.created'],
  },
  updateNodeGroup: {
    prepare: async (world) => ({
      method: 'patch',
      path: await world.group(),
      body: { name: unique('renamed') },
    }),
    actions: ['node_group.updated'],
  },
  deleteNodeGroup: {
    prepare: async (world) => ({ method: 'delete', path: await world.group() }),
    actions: ['node_group.deleted'],
  },
  createRoleAssignment: {
    prepare: async (world) => {
      const { clusterId, nodeId } = await world.node();
      return {
        method: 'post',
        path: `/clusters/${clusterId}/role-assignments`,
        body: { nodeId, role: 'vpn-exit' },
      };
    },
    actions: ['role_assignment.created'],
  },
  createBulkRoleAssignment: {
    prepare: async (world) => {
      const { clusterId } = await world.node();
      await admittedNode(world.controlPlane, clusterId);
      return {
        method: 'post',
        path: `/clusters/${clusterId}/role-assignments/bulk`,
        body: { selector: {}, role: 'vpn-exit' },
      };
    },
    actions: ['role_assignment.created'],
  },
  disableRoleAssignment: {
    prepare: async (world) => ({ method: 'post', path: `${(await world.assignment()).path}/disable` }),
    actions: ['role_assignment.disabled'],
  },
  enableRoleAssignment: {
    prepare: async (world) => {
      const { path } = await world.assignment();
      created(await world.api.post(`${path}/disable`));
      return { method: 'post', path: `${path}/enable` };
    },
    actions: ['role_assignment.enabled'],
  },
  deleteRoleAssignment: {
    prepare: async (world) => ({ method: 'delete', path: (await world.assignment()).path }),
    actions: ['role_assignment.deleted'],
  },
  createVpnConnection: {
    prepare: async (world) => {
      const { clusterId, nodeId } = (await world.assignment()).node;
      const body = {
        name: 'Exit',
        kind: 'exit',
        desiredState: 'enabled',
        credentialRef: 'vault:vpn/exit',
        allowedNodeIds: [nodeId],
      };
      return { method: 'post', path: `/clusters/${clusterId}/vpn-connections`, body };
    },
    actions: ['vpn_connection.created'],
  },
  updateVpnConnection: {
    prepare: async (world) => ({
      method: 'patch',
      path: (await world.vpnConnection()).path,
      body: { desiredState: 'disabled' },
    }),
    actions: ['vpn_connection.updated'],
  },
  replaceVpnAllowedNodes: {
    prepare: async (world) => ({
      method: 'put',
      path: `${(await world.vpnConnection()).path}/allowed-nodes`,
      body: { nodeIds: [] },
    }),
    actions: ['vpn_connection.updated'],
  },
  replaceVpnRoutePolicies: {
    prepare: async (world) => ({
      method: 'put',
      path: `${(await world.vpnConnection()).path}/route-policies`,
      body: { routePolicies: [{ cidr: '10.0.0.0/8', action: 'allow', priority: 1 }] },
    }),
    actions: ['vpn_connection.updated'],
  },
  deleteVpnConnection: {
    prepare: async (world) => ({ method: 'delete', path: (await world.vpnConnection()).path }),
    actions: ['vpn_connection.deleted'],
  },
  replaceRoleCoverage: {
    prepare: async (world) => ({
      method: 'put',
      path: `/clusters/${await world.clusterId()}/role-coverage/vpn-exit`,
      body: { minimum: 2 },
    }),
    actions: ['role_coverage.updated'],
  },
  createProduct: {
    prepare: async () => ({
      method: 'post',
      path: '/products',
      body: { name: unique('product'), kind: 'node-agent' },
    }),
    actions: ['product.created'],
  },
  updateProduct: {
    prepare: async (world) => ({
      method: 'patch',
      path: `/products/${(await world.publisher()).product}`,
      body: { signatureThreshold: 2 },
    }),
    actions: ['product.updated'],
  },
  createSigningKey: {
    prepare: async () => ({
      method: 'post',
      path: '/signing-keys',
      body: { name: 'Ada', publicKey: releaseKey().publicKey },
    }),
    actions: ['signing_key.created'],
  },
  revokeSigningKey: {
    prepare: async (world) => {
      const body = { name: 'Ada', publicKey: releaseKey().publicKey };
      const { id } = created(await world.api.post('/signing-keys', body)) as { id: string };
      return { method: 'post', path: `/signing-keys/${id}/revoke` };
    },
    actions: ['signing_key.revoked'],
  },
  publishRelease: {
    prepare: async (world) => {
      const { product, keys } = await world.publisher();
      const body = envelopeOf(manifestOf(product, '1.0.0'), keys);
      return { method: 'post', path: `/products/${product}/releases`, body };
    },
    actions: ['release.published'],
  },
  approveRelease: {
    prepare: async (world) => {
      const publisher = await world.publisher();
      await publisher.publish('1.0.0');
      created(await world.api.put('/policy', {}));
      return { method: 'post', path: publisher.path('1.0.0', '/approve') };
    },
    actions: ['release.approved'],
  },
  blockRelease: {
    prepare: async (world) => {
      const publisher = await world.publisher();
      await publisher.publish('1.0.0');
      return { method: 'post', path: publisher.path('1.0.0', '/block'), body: { reason: 'Loses data.' } };
    },
    actions: ['release.blocked'],
  },
  unblockRelease: {
    prepare: async (world) => {
      const publisher = await world.publisher();
      await publisher.publish('1.0.0');
      created(await world.api.post(publisher.path('1.0.0', '/block'), { reason: 'Loses data.' }));
      return { method: 'post', path: publisher.path('1.0.0', '/unblock') };
    },
    actions: ['release.unblocked'],
  },
  moveChannel: {
    prepare: async (world) => {
      const publisher = await world.publisher();
      await publisher.release('1.0.0');
      const path = `/clusters/${await world.clusterId()}/channels/${publisher.product}/stable`;
      return { method: 'put', path, body: { version: '1.0.0' } };
    },
    actions: ['channel.moved'],
  },
  putWorkload: {
    prepare: async (world) => ({
      method: 'put',
      path: `${nodePath((await world.assignment()).node)}/workloads/vpn-exit`,
      body: { desiredState: 'running', runtime: 'native' },
    }),
    actions: ['workload.created'],
  },
  deleteWorkload: {
    prepare: async (world) => {
      const path = `${nodePath((await world.assignment()).node)}/workloads/synthetic.echo`;
      created(await world.api.put(path, { desiredState: 'stopped', runtime: 'native' }));
      return { method: 'delete', path };
    },
    actions: ['workload.deleted'],
  },
  createRollout: {
    prepare: async (world) => {
      const stage = await world.rolloutStage();
      return { method: 'post', path: stage.path, body: stage.body() };
    },
    actions: ['rollout.created'],
  },
  submitRollout: {
    prepare: async (world) => decisionOn(await world.draftedRollout(), 'submit'),
    actions: ['rollout.submitted', 'rollout.approved'],
  },
  approveRollout: {
    prepare: async (world) => {
      const stage = await world.rolloutStage();
      created(await world.api.put(`/clusters/${stage.clusterId}/policy`, { rolloutApprovals: 2 }));
      const input = { name: unique('author'), role: 'platform-operator' };
      const { token } = created(await world.api.post('/api-tokens', input)) as { token: string };
      const author = world.controlPlane.api.as(token);
      const { id } = created(await author.post(stage.path, stage.body())) as { id: string };
      const path = `${stage.path}/${id}`;
      created(await author.post(`${path}/submit`));
      return { method: 'post', path: `${path}/approve` };
    },
    actions: ['rollout.approval_given'],
  },
  startRollout: {
    prepare: async (world) => decisionOn(await world.draftedRollout(), 'start'),
    actions: ['rollout.started', 'rollout.wave_moved', 'rollout.nodes_moved'],
  },
  pauseRollout: {
    prepare: async (world) => decisionOn(await world.startedRollout(), 'pause'),
    actions: ['rollout.paused'],
  },
  resumeRollout: {
    prepare: async (world) => {
      const rollout = await world.startedRollout();
      created(await world.api.post(`${rollout.path}/pause`));
      return decisionOn(rollout, 'resume');
    },
    actions: ['rollout.resumed'],
  },
  rollBackRollout: {
    prepare: async (world) => decisionOn(await world.startedRollout(), 'rollback'),
    actions: ['rollout.rollback_started'],
  },
  cancelRollout: {
    prepare: async (world) => decisionOn(await world.startedRollout(), 'cancel'),
    actions: ['rollout.cancelled', 'rollout.nodes_moved'],
  },
  approveRolloutWave: {
    prepare: async (world) => {
      const waves = [{ name: 'all', percent: 100, requiresApproval: true }];
      return decisionOn(await world.startedRollout({ waves }), 'waves/all/approve');
    },
    actions: ['rollout.wave_approved', 'rollout.wave_moved', 'rollout.nodes_moved'],
  },
  writeOffRolloutNode: {
    prepare: async (world) => {
      const rollout = await world.grantedRollout();
      await world.controlPlane.database.query(
        `UPDATE rollout_assignments SET state = 'lost' WHERE rollout_id = $1`,
        [rollout.id],
      );
      const { id: nodeId } = rollout.node;
      return { ...decisionOn(rollout, `nodes/${nodeId}/write-off`), body: { reason: 'Burnt down.' } };
    },
    actions: ['rollout.node_written_off'],
  },
  unfenceRolloutNode: {
    prepare: async (world) => {
      const rollout = await world.grantedRollout();
      const { node, update } = rollout;
      for (const state of ['starting', 'rollback_required', 'fenced'])
        created(await node.report(update, state));
      return { ...decisionOn(rollout, `nodes/${node.id}/unfence`), body: { reason: 'Reinstalled.' } };
    },
    actions: ['rollout.node_unfenced'],
  },
  putVersionPin: {
    prepare: async (world) => ({
      ...(await world.pinnable()),
      method: 'put',
      body: { version: '1.0.0', reason: 'A driver needs it.' },
    }),
    actions: ['version_pin.set'],
  },
  deleteVersionPin: {
    prepare: async (world) => {
      const { path } = await world.pinnable();
      created(await world.api.put(path, { version: '1.0.0', reason: 'A driver needs it.' }));
      return { method: 'delete', path };
    },
    actions: ['version_pin.removed'],
  },
  createEmergencyPin: {
    prepare: async (world) => {
      const { clusterId, body } = await world.emergency();
      return { method: 'post', path: `/clusters/${clusterId}/emergency-pins`, body };
    },
    actions: ['emergency_pin.created', 'emergency_pin.activated', 'rollout.created', 'rollout.started'],
  },
  approveEmergencyPin: {
    prepare: async (world) => {
      const { clusterId, body } = await world.emergency();
      created(await world.api.put(`/clusters/${clusterId}/policy`, { rolloutApprovals: 1 }));
      const input = {
        name: unique('author'),
        role: 'platform-operator',
        highRisk: true,
        expiresInSeconds: 3600,
      };
      const { token } = created(await world.api.post('/api-tokens', input)) as { token: string };
      const path = `/clusters/${clusterId}/emergency-pins`;
      const { id } = created(await world.controlPlane.api.as(token).post(path, body)) as { id: string };
      return { method: 'post', path: `${path}/${id}/approve` };
    },
    actions: ['rollout.approval_given', 'emergency_pin.activated'],
  },
  liftEmergencyPin: {
    prepare: async (world) => {
      const { clusterId, body } = await world.emergency();
      const path = `/clusters/${clusterId}/emergency-pins`;
      const { id } = created(await world.api.post(path, body)) as { id: string };
      return { method: 'post', path: `${path}/${id}/lift`, body: { reason: 'It was the network.' } };
    },
    actions: ['emergency_pin.lifted', 'rollout.cancelled'],
  },
  acquireVpnLease: {
    prepare: async (world) => {
      const { node, path } = await world.vpnConnection();
      return { method: 'post', path: `${path}/lease/acquire`, body: { nodeId: node.nodeId } };
    },
    actions: ['vpn_lease.acquired'],
  },
  renewVpnLease: {
    prepare: async (world) => {
      const { path, holder } = await world.vpnLease();
      return { method: 'post', path: `${path}/lease/renew`, body: holder };
    },
    actions: ['vpn_lease.renewed'],
  },
  releaseVpnLease: {
    prepare: async (world) => {
      const { path, holder } = await world.vpnLease();
      return { method: 'post', path: `${path}/lease/release`, body: holder };
    },
    actions: ['vpn_lease.released'],
  },
  fenceVpnLease: {
    prepare: async (world) => ({
      method: 'post',
      path: `${(await world.vpnLease()).path}/lease/fence`,
      body: { reason: 'The host does not answer.' },
    }),
    actions: ['vpn_lease.fenced'],
  },
  handOverVpnLease: {
    prepare: async (world) => {
      const { node, path } = await world.vpnConnection();
      return { method: 'post', path: `${path}/lease/handover`, body: { toNodeId: node.nodeId } };
    },
    actions: ['vpn_lease.handover_requested'],
  },
  createJoinToken: {
    prepare: async (world) => ({
      method: 'post',
      path: `/clusters/${await world.clusterId()}/join-tokens`,
      body: { maxUses: 2 },
    }),
    actions: ['join_token.created'],
  },
  revokeJoinToken: {
    prepare: async (world) => {
      const clusterId = await world.clusterId();
      const { id } = await given(world.controlPlane).joinToken(clusterId);
      return { method: 'post', path: `/clusters/${clusterId}/join-tokens/${id}/revoke` };
    },
    actions: ['join_token.revoked'],
  },
  approveJoinRequest: {
    prepare: async (world) => ({
      method: 'post',
      path: `${requestPath(await world.applicant())}/approve`,
      body: { roles: ['vpn-exit'] },
    }),
    actions: ['join_request.approved', 'role_assignment.created'],
  },
  acknowledgeRiskyState: {
    prepare: async (world) => ({
      method: 'post',
      path: `${nodePath(await world.suspect())}/risky-states/clone_suspected/acknowledge`,
      body: { reason: 'The copy is gone.' },
    }),
    actions: ['node.risky_state_acknowledged'],
  },
  startTrustRotation: {
    prepare: async (world) => ({
      method: 'post',
      path: `/clusters/${await world.clusterId()}/trust/rotations`,
      body: { kind: 'snapshot_key' },
    }),
    actions: ['trust_rotation.started'],
  },
  advanceTrustRotation: {
    prepare: async (world) => {
      const path = `/clusters/${await world.clusterId()}/trust/rotations`;
      const { id } = created(await world.api.post(path, { kind: 'ca' })) as { id: string };
      return { method: 'post', path: `${path}/${id}/advance` };
    },
    actions: ['trust_rotation.advanced'],
  },
  rejectJoinRequest: {
    prepare: async (world) => ({
      method: 'post',
      path: `${requestPath(await world.applicant())}/reject`,
      body: { reason: 'Unknown host.' },
    }),
    actions: ['join_request.rejected'],
  },
};

/** Operations that take bytes: they change something, and cannot be planned. */
export const UPLOADS: Readonly<Record<string, Mutation>> = {
  uploadArtifact: {
    prepare: async (world) => {
      const publisher = await world.publisher();
      const { bytes } = await publisher.publish('1.0.0');
      return { method: 'put', path: publisher.path('1.0.0', '/artifacts/linux/x64'), body: bytes };
    },
    actions: ['release.artifact_stored'],
  },
  uploadMigrationBundle: {
    prepare: async (world) => {
      const publisher = await world.publisher();
      const bundle = testFile();
      await publisher.publish('1.0.0', testFile(), { migrations: [migrationOf(bundle)] });
      return {
        method: 'put',
        path: publisher.path('1.0.0', '/migrations/state-2/bundle'),
        body: bundle.bytes,
      };
    },
    actions: ['release.artifact_stored'],
  },
};

/** Every operation by which nodes change something that the audit log tells of. */
export const NODE_MUTATIONS: Readonly<Record<string, Mutation>> = {
  cancelEnrollment: {
    prepare: async (world) => {
      const node = await world.applicant();
      const as = world.api.as(await node.assertion(node.joinRequestId));
      return { method: 'delete', path: `/node-agents/enroll/${node.joinRequestId}`, as };
    },
    actions: ['join_request.cancelled'],
  },
  reportVpnAssignment: {
    prepare: async (world) => {
      const { node, path } = await world.vpnConnection();
      const own = `/node-agents/me/vpn-assignments/${path.split('/').at(-1)}/status`;
      return { method: 'put', path: own, body: { status: 'lease_required' }, as: await node.api() };
    },
    actions: ['vpn_assignment.status_changed'],
  },
  acquireOwnVpnLease: {
    prepare: async (world) => {
      const { node, path } = await world.vpnConnection();
      return { method: 'post', path: ownLeasePath(path, 'acquire'), body: {}, as: await node.api() };
    },
    actions: ['vpn_lease.acquired'],
  },
  releaseOwnVpnLease: {
    prepare: async (world) => {
      const { node, path, holder } = await world.vpnLease();
      const body = { fencingToken: holder.fencingToken };
      return { method: 'post', path: ownLeasePath(path, 'release'), body, as: await node.api() };
    },
    actions: ['vpn_lease.released'],
  },
  reportUpdate: {
    prepare: async (world) => {
      const { node, update } = await world.grantedRollout();
      const path = `/node-agents/me/updates/${update.assignmentId}/state`;
      const body = { state: 'starting', attempt: 1, epoch: update.epoch, sequence: 100 };
      return { method: 'post', path, body, as: node.api };
    },
    actions: ['rollout.node_reported'],
  },
  requestCertificate: {
    prepare: async (world) => {
      const openssl = await OpenSsl.open();
      const csr = await openssl.csr();
      await openssl.close();
      const as = await (await world.node()).api();
      return { method: 'post', path: '/node-agents/me/certificates', body: { csr }, as };
    },
    actions: ['node_certificate.issued'],
  },
  rotateIdentity: {
    prepare: async (world) => {
      const node = await world.node();
      const body = await rotationBody(node, await freshKey());
      return { method: 'post', path: '/node-agents/me/identity/rotate', body, as: await node.api() };
    },
    actions: ['node_identity.rotated'],
  },
  reportUpdateCache: {
    prepare: async (world) => {
      const { api, node } = await admittedCache(world.controlPlane);
      return {
        method: 'put',
        path: '/node-agents/me/update-cache',
        body: { url: `https://${node.nodeId}.test:7443` },
        as: api,
      };
    },
    actions: ['update_cache.moved'],
  },
  reportCapabilities: {
    prepare: async (world) => ({
      method: 'put',
      path: '/node-agents/me/capabilities',
      body: {
        capabilities: ['can_route_mesh'],
        facts: { os: 'linux', arch: 'x64', hostname: unique('host') },
      },
      as: await (await world.node()).api(),
    }),
    actions: ['node.capabilities_changed', 'node.facts_changed'],
  },
};

/** Operations that change something and have no event of their own, with the reason. */
export const UNAUDITED: Readonly<Record<string, string>> = {
  renewOwnVpnLease: "counted, and told of by the event of the lease's end",
  sendHeartbeat: 'a heartbeat is no event; a change of health is one',
  reportWorkload: 'what an agent observes is no act; its history is kept beside the workload',
  issueNodeToken: 'a token of minutes for a key that is known; refusals are logged',
  planRollout: 'changes nothing',
  enroll: 'tested with its proof in enrollment.spec.ts',
};

function decisionOn({ path }: WorldRollout, what: string): MutationCall {
  return { method: 'post', path: `${path}/${what}` };
}
