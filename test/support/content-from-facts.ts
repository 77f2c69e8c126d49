import type { Api } from './api.js';
import { created } from './given.js';

// biome-ignore lint/suspicious/noExplicitAny: answers have every shape
type Fact = any;

/** Which further members a role brings, once more by hand: see the specification's list. */
const MESH = ['core-mesh', 'relay-node'];
const INGRESS = ['entry-node', 'admin-ingress'];
const STORAGE = ['file-storage-cache', 'update-cache', 'config-storage'];

async function all(api: Api, path: string): Promise<Fact[]> {
  const items: Fact[] = [];
  let cursor: string | null = null;
  do {
    const query: string = cursor === null ? '' : `&cursor=${cursor}`;
    const page = created(await api.get(`${path}?limit=200${query}`)) as {
      items: Fact[];
      nextCursor: string | null;
    };
    items.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return items;
}

/**
 * What the snapshots of a cluster's nodes must hold, by node id, made of what the API tells of nodes, roles, workloads,
 * connections, policy, authority and keys, and of nothing that composes snapshots.
 */
export async function contentFromFacts(api: Api, clusterId: string): Promise<Map<string, Fact>> {
  const cluster = `/clusters/${clusterId}`;
  const read = async (path: string): Promise<Fact> => created(await api.get(path));
  const [policy, authority, trust, catalog, nodes, assignments, workloads, connections] = await Promise.all([
    read(`${cluster}/policy`),
    read(`${cluster}/authority`),
    read(`${cluster}/trust/jwks`),
    all(api, '/role-catalog'),
    all(api, `${cluster}/nodes`),
    all(api, `${cluster}/role-assignments`),
    all(api, `${cluster}/workloads`),
    all(api, `${cluster}/vpn-connections`),
  ]);
  const denied: string[] = policy.capabilityPolicy.denied ?? [];
  const role = (name: string): Fact => catalog.find((each) => each.name === name);

  const contentOf = (node: Fact): Fact => {
    const { nodeId, membershipStatus } = node;
    const has = (capability: string) =>
      node.capabilities.includes(capability) && !denied.includes(capability);
    const roles = assignments
      .filter((each) => each.nodeId === nodeId && each.status === 'active' && membershipStatus === 'active')
      .filter((each) => role(each.role).requiredCapabilities.every(has))
      .map(({ role: name, organizationId, policy: told, validFrom, validUntil }) => ({
        role: name,
        organizationId,
        policy: told,
        validFrom,
        validUntil,
      }))
      .sort((one, other) =>
        compare([one.role, one.organizationId ?? ''], [other.role, other.organizationId ?? '']),
      );
    const names: string[] = roles.map((each) => each.role);
    const covered = new Set(names.flatMap((name) => [...role(name).serviceTypes, 'synthetic.echo']));
    const services = names.filter((name) => ![...MESH, ...INGRESS, ...STORAGE].includes(name));
    const fits = ({ kind, organizationId }: Fact) =>
      roles.some(
        (each) =>
          each.role === (kind === 'exit' ? 'vpn-exit' : 'vpn-connector') &&
          (each.organizationId === null || each.organizationId === organizationId),
      );
    return {
      schema: 'rap.cluster_snapshot.v1',
      clusterId,
      nodeId,
      authorityTerm: authority.term,
      degradedGraceSeconds: policy.degradedGraceSeconds,
      trust: { snapshotKeys: trust.keys },
      membership: { status: membershipStatus, name: node.name },
      roles,
      workloads: workloads
        .filter(
          (each) => each.nodeId === nodeId && each.desiredState !== null && covered.has(each.serviceType),
        )
        .map((each) => ({
          serviceType: each.serviceType,
          desiredState: each.desiredState,
          runtime: each.runtime,
          version: each.version,
          config: each.config,
          secretRefs: each.secretRefs,
          healthCheck: each.healthCheck,
          restartPolicy: each.restartPolicy,
          whenControlPlaneLost: each.whenControlPlaneLost,
          privileged: each.privileged,
        }))
        .sort((one, other) => compare([one.serviceType], [other.serviceType])),
      vpnAssignments: connections
        .filter((each) => each.allowedNodeIds.includes(nodeId) && fits(each))
        .map((each) => ({
          connectionId: each.id,
          name: each.name,
          kind: each.kind,
          desiredState: each.desiredState,
          hasCredentialRef: each.hasCredentialRef,
          leaseTtlSeconds: each.leaseTtlSeconds,
          routePolicies: each.routePolicies,
        }))
        .sort((one, other) => compare([one.connectionId], [other.connectionId])),
      peers: [],
      routePolicy: {},
      qosPolicy: {},
      updates: [],
      telemetry: { enabled: node.telemetryEnabled },
      ...(services.length > 0 && {
        services: [...new Set(services)]
          .sort()
          .map((serviceType) => ({ serviceType, resourceRefs: [], connectorRefs: [] })),
      }),
      ...(names.some((name) => INGRESS.includes(name)) && {
        ingress: { entryPolicies: [], tokenValidation: null, routeEntries: [] },
      }),
      ...(names.some((name) => STORAGE.includes(name)) && { storage: { scopes: [], replication: null } }),
      ...(names.includes('update-cache') && { mirror: { files: [] } }),
    };
  };
  const live = nodes.filter((node) => node.membershipStatus !== 'revoked');
  return new Map(live.map((node) => [node.nodeId, contentOf(node)]));
}

function compare(one: readonly string[], other: readonly string[]): number {
  const [left, right] = [one.join('\n'), other.join('\n')];
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
