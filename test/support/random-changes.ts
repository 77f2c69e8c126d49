import { ROLE_CATALOGUE, ROLE_NAMES } from '../../src/modules/roles/role-catalogue.js';
import type { Answer, Api } from './api.js';
import { ClusterWorld } from './cluster-world.js';
import type { ControlPlane } from './control-plane.js';
import { created, given, unique } from './given.js';
import { ADMIN_MUTATIONS, type MutationCall } from './mutations.js';
import { WatchingNode } from './watching-node.js';

// biome-ignore lint/suspicious/noExplicitAny: answers have every shape
type Item = any;

/** Of a cluster, so that a look at all of them stays cheap. */
const MOST_NODES = 5;
const CAPABILITIES = [
  'can_run_vpn_exit',
  'can_run_vpn_connector',
  'can_route_mesh',
  'can_accept_client_ingress',
  'can_run_file_cache',
];

/** What a change may turn out to be: numbers without a meaning of their own, so that any sequence of them is one. */
export interface Choice {
  change: (typeof CHANGES)[number];
  numbers: readonly number[];
}

/** Takes one number after the other. */
class Picks {
  private next = 0;
  constructor(private readonly numbers: readonly number[]) {}

  number(below: number): number {
    this.next += 1;
    return (this.numbers[this.next - 1] ?? 0) % below;
  }

  one<T>(items: readonly T[]): T | undefined {
    return items[this.number(Math.max(1, items.length))];
  }

  some<T>(items: readonly T[]): T[] {
    const bits = this.number(2 ** items.length);
    return items.filter((_, index) => Math.floor(bits / 2 ** index) % 2 === 1);
  }
}

interface Place {
  api: Api;
  cluster: string;
  nodes: readonly WatchingNode[];
  /** Admits another node. */
  join(): Promise<Answer | undefined>;
}
type Change = (place: Place, picks: Picks) => Promise<Answer | undefined>;

const items = async ({ api, cluster }: Place, list: string): Promise<Item[]> =>
  (created(await api.get(`${cluster}/${list}?limit=200`)) as { items: Item[] }).items;
const idsOf = (nodes: readonly WatchingNode[]) => nodes.map(({ node }) => node.nodeId);

/** Changes of nodes: each grows exactly those whose content is another. */
const OF_NODES = {
  name: async ({ api, nodes }, picks) => api.patch(picks.one(nodes)?.path ?? '', { name: unique('n') }),
  label: async ({ api, nodes }, picks) =>
    api.patch(picks.one(nodes)?.path ?? '', { labels: { a: unique('l') } }),
  telemetry: async ({ api, nodes }, picks) =>
    api.patch(picks.one(nodes)?.path ?? '', { telemetryEnabled: picks.number(2) === 1 }),
  disable: async ({ api, nodes }, picks) =>
    api.post(`${picks.one(nodes)?.path}/disable`, { force: true, reason: 'A drill.' }),
  enable: async ({ api, nodes }, picks) => api.post(`${picks.one(nodes)?.path}/enable`),
  revoke: async ({ api, nodes }, picks) =>
    picks.number(4) === 0
      ? api.post(`${picks.one(nodes)?.path}/revoke`, { reason: 'Gone.', force: true })
      : undefined,
  heartbeat: async ({ nodes }, picks) => {
    const watching = picks.one(nodes);
    return (await watching?.node.api().catch(() => undefined))?.post(
      '/node-agents/me/heartbeat',
      watching?.node.heartbeat(),
    );
  },
  report: async ({ nodes }, picks) => {
    const node = picks.one(nodes)?.node;
    const facts = { os: 'linux', arch: 'x64', hostname: `host-${picks.number(2)}` };
    const body = { capabilities: picks.some(CAPABILITIES), facts };
    return (await node?.api().catch(() => undefined))?.put('/node-agents/me/capabilities', body);
  },
  assign: async ({ api, cluster, nodes }, picks) => {
    const nodeId = picks.one(nodes)?.node.nodeId;
    const role = picks.one(ROLE_NAMES) ?? 'vpn-exit';
    const isScoped = ROLE_CATALOGUE[role].organizationScopable && picks.number(3) === 0;
    const validUntil = picks.number(3) === 0 ? '2099-01-01T00:00:00Z' : null;
    return api.post(`${cluster}/role-assignments`, {
      nodeId,
      role,
      organizationId: isScoped ? nodeId : null,
      validUntil,
    });
  },
  assignMany: async (place, picks) => {
    const { api, cluster, nodes } = place;
    const group = picks.one(await items(place, 'node-groups'));
    const selectors = [
      { nodeIds: idsOf([...nodes.slice(0, 1), ...picks.some(nodes.slice(1))]) },
      { labels: { ring: 'one' } },
      { filter: 'role = "vpn-connector"' },
      ...(group === undefined ? [] : [{ groupId: group.id }]),
    ];
    const role = picks.one(['vpn-exit', 'core-mesh', 'config-storage', 'update-cache']);
    return api.post(`${cluster}/role-assignments/bulk`, { selector: picks.one(selectors), role });
  },
  join: async ({ join, nodes }) => (nodes.length < MOST_NODES ? join() : undefined),
  group: async (place, picks) => {
    const path = `${place.cluster}/node-groups`;
    const group = picks.one(await items(place, 'node-groups'));
    if (group === undefined || picks.number(2) === 0) {
      return place.api.post(path, { name: unique('group'), parentId: group?.id ?? null });
    }
    return picks.number(3) === 0
      ? place.api.delete(`${path}/${group.id}`)
      : place.api.patch(`${path}/${group.id}`, { name: unique('group'), parentId: null });
  },
  arrange: async (place, picks) => {
    const groups: (Item | null)[] = [null, ...(await items(place, 'node-groups'))];
    const labels = { ring: picks.one(['one', 'two', null]) };
    return place.api.patch(picks.one(place.nodes)?.path ?? '', {
      groupId: picks.one(groups)?.id ?? null,
      labels,
    });
  },
  switchRole: async (place, picks) => {
    const assignment = picks.one(await items(place, 'role-assignments'));
    if (assignment === undefined) return undefined;
    const to = assignment.status === 'active' ? 'disable' : 'enable';
    return place.api.post(`${place.cluster}/role-assignments/${assignment.id}/${to}`);
  },
  takeRole: async (place, picks) => {
    const assignment = picks.one(await items(place, 'role-assignments'));
    return assignment && place.api.delete(`${place.cluster}/role-assignments/${assignment.id}`);
  },
  workload: async ({ api, nodes }, picks) => {
    const serviceType = picks.one(['synthetic.echo', 'vpn-exit', 'core-mesh']);
    const body = {
      desiredState: picks.one(['running', 'stopped']),
      runtime: 'native',
      version: `1.${picks.number(2)}.0`,
    };
    return api.put(`${picks.one(nodes)?.path}/workloads/${serviceType}`, body);
  },
  noWorkload: async (place, picks) => {
    const workload = picks.one(await items(place, 'workloads'));
    return (
      workload &&
      place.api.delete(`${place.cluster}/nodes/${workload.nodeId}/workloads/${workload.serviceType}`)
    );
  },
  connect: async ({ api, cluster, nodes }, picks) =>
    api.post(`${cluster}/vpn-connections`, {
      name: unique('vpn'),
      kind: picks.one(['exit', 'connector']),
      desiredState: picks.one(['enabled', 'disabled']),
      organizationId: picks.number(3) === 0 ? (picks.one(nodes)?.node.nodeId ?? null) : null,
      allowedNodeIds: idsOf(picks.some(nodes)),
    }),
  reconnect: async (place, picks) => {
    const connection = picks.one(await items(place, 'vpn-connections'));
    if (connection === undefined) return undefined;
    const path = `${place.cluster}/vpn-connections/${connection.id}`;
    switch (picks.number(5)) {
      case 0:
        return place.api.patch(path, { leaseTtlSeconds: 30 + picks.number(3) });
      case 1:
        return place.api.patch(path, {
          desiredState: picks.one(['enabled', 'disabled']),
          credentialRef: 'vault://a#b',
        });
      case 2:
        return place.api.put(`${path}/allowed-nodes`, { nodeIds: idsOf(picks.some(place.nodes)) });
      case 3:
        return place.api.put(`${path}/route-policies`, {
          routePolicies: [{ cidr: `10.${picks.number(3)}.0.0/16`, action: 'allow', priority: 10 }],
        });
      default:
        return place.api.delete(path);
    }
  },
} as const satisfies Record<string, Change>;

/** Changes of a cluster: each may grow all of its nodes, whatever it changes. */
const OF_CLUSTERS = {
  policy: async ({ api, cluster }, picks) => {
    const { body: policy } = await api.get(`${cluster}/policy`);
    const changes = [
      { degradedGraceSeconds: policy.degradedGraceSeconds + 1 },
      { capabilityPolicy: { denied: picks.some(CAPABILITIES.slice(0, 3)) } },
      { heartbeatSeconds: 20 + picks.number(2) },
    ];
    return api.put(`${cluster}/policy`, { ...policy, ...picks.one(changes) });
  },
  term: async ({ api, cluster }) => {
    const { term } = created(await api.get(`${cluster}/authority`)) as { term: number };
    const to = (state: string) =>
      api.post(`${cluster}/authority/transitions`, { to: state, reason: 'A drill.', expectedTerm: term });
    await to('degraded');
    return to('authoritative');
  },
  rotation: async (place) => {
    const path = `${place.cluster}/trust/rotations`;
    const under = (await items(place, 'trust/rotations')).find((each) => each.nextPhase !== null);
    if (under === undefined) return place.api.post(path, { kind: 'snapshot_key' });
    return place.api.post(`${path}/${under.id}/advance`, {
      to: under.nextPhase,
      override: { reason: 'A drill.' },
    });
  },
} as const satisfies Record<string, Change>;

const TABLE: Record<string, Change> = { ...OF_NODES, ...OF_CLUSTERS };
/** From one rotation to the next: started, and advanced to `activate`, `taint` and `retire`. */
const STEPS_OF_ROTATION = 4;
/** Names of all changes, as often as each is needed to come round. */
export const CHANGES = [
  ...Object.keys(OF_NODES),
  ...Object.keys(OF_CLUSTERS),
  ...Array.from({ length: STEPS_OF_ROTATION - 1 }, () => 'rotation'),
];

/** Every call by which people and scripts change something; a new route is among them. */
export const OPERATIONS = Object.keys(ADMIN_MUTATIONS);
/** Those of them that concern a whole cluster. */
const OPERATIONS_OF_CLUSTERS = [
  'replaceClusterPolicy',
  'transitionAuthority',
  'startTrustRotation',
  'advanceTrustRotation',
];

/** Whether a change or an operation concerns a whole cluster. */
export function isOfCluster(name: string): boolean {
  return Object.hasOwn(OF_CLUSTERS, name) || OPERATIONS_OF_CLUSTERS.includes(name);
}

/** A cluster with a few nodes, in which anything may happen. */
export class RandomCluster {
  private readonly world: ClusterWorld;

  private constructor(
    private readonly controlPlane: ControlPlane,
    readonly id: string,
    /** Every one that a change may be for, the revoked ones too. */
    readonly nodes: WatchingNode[],
  ) {
    const known = nodes.map(({ node }) => node);
    this.world = new ClusterWorld(controlPlane, id, known);
  }

  /** Each node has a role, a workload and a connection to begin with, so that there is something to change. */
  static async make(controlPlane: ControlPlane, nodeCount: number): Promise<RandomCluster> {
    const { id } = await given(controlPlane).cluster();
    const { api } = controlPlane;
    const input = { capabilities: CAPABILITIES };
    const nodes = await Promise.all(
      Array.from({ length: nodeCount }, () => WatchingNode.admit(controlPlane, id, input)),
    );
    for (const [index, { node, path }] of nodes.entries()) {
      const [role, kind] = index % 2 === 0 ? ['vpn-exit', 'exit'] : ['vpn-connector', 'connector'];
      created(await api.post(`/clusters/${id}/role-assignments`, { nodeId: node.nodeId, role }));
      const workload = { desiredState: 'running', runtime: 'native' };
      created(await api.put(`${path}/workloads/synthetic.echo`, workload));
      const connection = {
        name: unique('vpn'),
        kind,
        desiredState: 'enabled',
        allowedNodeIds: [node.nodeId],
      };
      created(await api.post(`/clusters/${id}/vpn-connections`, connection));
    }
    return new RandomCluster(controlPlane, id, nodes);
  }

  /** Does one thing. It may be refused; a fault of the service is one of the test. */
  async change({ change, numbers }: Choice): Promise<void> {
    const { api } = this.controlPlane;
    const join = () => this.join();
    const place = { api, cluster: `/clusters/${this.id}`, nodes: this.nodes, join };
    const answer = await TABLE[change]?.(place, new Picks(numbers));
    if (answer === undefined) return;
    const told = `${change}: ${answer.status} ${JSON.stringify(answer.body)}`;
    if (answer.status >= 500) throw new Error(told);
    // Whatever the state refuses is well; a call that is none would test nothing.
    if ([400, 405, 415].includes(answer.status) || answer.body.code === 'invalid_request')
      throw new Error(told);
  }
  /** Makes what the operation needs, which may be changes too, and returns its call. */
  async prepare(operation: string): Promise<MutationCall> {
    const mutation = ADMIN_MUTATIONS[operation];
    if (mutation === undefined) throw new Error(`there is no operation ${operation}`);
    return mutation.prepare(this.world);
  }

  call({ method, path, body, as = this.controlPlane.api }: MutationCall): Promise<Answer> {
    return as[method](path, body);
  }

  /** Ends what the call has begun. */
  settle(call: MutationCall): Promise<void> {
    return this.world.settle(call);
  }

  /** Phases of the cluster's rotations of snapshot keys. */
  async rotationPhases(): Promise<string[]> {
    const { items } = (await this.controlPlane.api.get(`/clusters/${this.id}/trust/rotations`)).body;
    return items.map(({ phase }: Item) => phase);
  }

  private async join(): Promise<Answer | undefined> {
    try {
      const node = await WatchingNode.admit(this.controlPlane, this.id, { capabilities: CAPABILITIES });
      this.nodes.push(node);
      return await this.controlPlane.api.get(node.path);
    } catch (error) {
      // A change beside it has taken the cluster's authority for a moment: nobody is admitted then.
      if (!String(error).includes('cluster_not_authoritative')) throw error;
      return undefined;
    }
  }
}
