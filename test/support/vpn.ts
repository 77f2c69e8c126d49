import type { Answer, Api } from './api.js';
import type { ControlPlane } from './control-plane.js';
import { created, given, several } from './given.js';
import { admittedNode, type TestNode } from './test-node.js';

/** So far ahead the real clock does not catch up while a test file runs. */
const AHEAD_SECONDS = 40_000;

/** From here on the time by which everything is decided moves by `VpnStage.advance` alone, however long a test takes. */
export async function stopClock(plane: ControlPlane): Promise<void> {
  await VpnStage.of(plane, '').advance(AHEAD_SECONDS);
}

/** A node that may hold connections, as its agent would act. */
export interface VpnNode {
  node: TestNode;
  id: string;
  /** Calls as the node. */
  agent: Api;
  /** Path of its role assignment. */
  assignment: string;
}

/** A cluster in which leases are fought for. */
export class VpnStage {
  readonly api: Api;

  private constructor(
    readonly plane: ControlPlane,
    readonly clusterId: string,
  ) {
    this.api = plane.api;
  }

  static async open(plane: ControlPlane): Promise<VpnStage> {
    return new VpnStage(plane, (await given(plane).cluster()).id);
  }

  /** Of a cluster that is there. */
  static of(plane: ControlPlane, clusterId: string): VpnStage {
    return new VpnStage(plane, clusterId);
  }

  /**
   * Puts the time by which everything is decided so many seconds ahead. It stands still from then on, until the real one
   * has caught up, so that nothing expires that a test has not let expire.
   */
  async advance(seconds: number): Promise<void> {
    await this.plane.database.query(
      `UPDATE database_clock SET recorded_at = fabric_now() + make_interval(secs => $1)`,
      [seconds],
    );
  }

  /** A member with the role `vpn-exit`, unless the input says otherwise. */
  async node(role: Record<string, unknown> = {}): Promise<VpnNode> {
    const node = await admittedNode(this.plane, this.clusterId, {
      capabilities: ['can_run_vpn_exit', 'can_run_vpn_connector'],
    });
    const path = `/clusters/${this.clusterId}/role-assignments`;
    const body = { nodeId: node.nodeId, role: 'vpn-exit', ...role };
    const { id } = created(await this.api.post(path, body)) as { id: string };
    return { node, id: node.nodeId, agent: await node.api(), assignment: `${path}/${id}` };
  }

  nodes(count: number): Promise<VpnNode[]> {
    return several(count, () => this.node());
  }

  /** An enabled connection for these nodes. */
  async connection(nodes: readonly VpnNode[], input: Record<string, unknown> = {}): Promise<VpnTunnel> {
    const allowedNodeIds = nodes.map(({ id }) => id);
    const { id } = await given(this.plane).vpnConnection(this.clusterId, { allowedNodeIds, ...input });
    return new VpnTunnel(this, id);
  }
}

/** One connection, and what can be done with its lease. */
export class VpnTunnel {
  readonly path: string;

  constructor(
    readonly stage: VpnStage,
    readonly id: string,
  ) {
    this.path = `/clusters/${stage.clusterId}/vpn-connections/${id}`;
  }

  acquire({ agent }: Pick<VpnNode, 'agent'>, body: Record<string, unknown> = {}): Promise<Answer> {
    return agent.post(`/node-agents/me/vpn-connections/${this.id}/lease/acquire`, body);
  }

  renew({ agent }: Pick<VpnNode, 'agent'>, fencingToken: number): Promise<Answer> {
    return agent.post(`/node-agents/me/vpn-connections/${this.id}/lease/renew`, { fencingToken });
  }

  release({ agent }: Pick<VpnNode, 'agent'>, fencingToken: number): Promise<Answer> {
    return agent.post(`/node-agents/me/vpn-connections/${this.id}/lease/release`, { fencingToken });
  }

  /** A call of the platform: `lease/fence`, `lease/handover`, and the forms of the above that name the node. */
  act(what: string, body: Record<string, unknown>): Promise<Answer> {
    return this.stage.api.post(`${this.path}/lease/${what}`, body);
  }

  /** The lease that the node gets. @throws when it gets none */
  async held(node: Pick<VpnNode, 'agent'>): Promise<Lease> {
    return created(await this.acquire(node)) as Lease;
  }

  active(): Promise<Answer> {
    return this.stage.api.get(`${this.path}/lease`);
  }

  async leases(): Promise<Lease[]> {
    return (created(await this.stage.api.get(`${this.path}/leases`)) as { items: Lease[] }).items;
  }

  /** The audit events of the connection's leases, oldest first. */
  events(): Promise<
    { action: string; actor_type: string; reason: string | null; before: unknown; after: unknown }[]
  > {
    return this.stage.plane.database.query(
      `SELECT action, actor_type, reason, before, after FROM audit_events
        WHERE resource_id = $1 AND action LIKE 'vpn_lease.%' ORDER BY id`,
      [this.id],
    );
  }
}

/** A lease as the API shows it. */
export interface Lease {
  id: string;
  vpnConnectionId: string;
  ownerNodeId: string;
  status: string;
  fencingToken: number;
  acquiredAt: string;
  renewedAt: string;
  expiresAt: string;
  ttlSeconds: number;
  serverTime: string;
  endedAt: string | null;
  endReason: string | null;
  releaseRequested: boolean;
}
