import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, unique } from '../support/given.js';
import { TestNode } from '../support/test-node.js';
import type { Payload } from '../support/watching-node.js';

let plane: ControlPlane;
/** Four operators, each with a credential of their own. */
let ann: Api;
let bob: Api;
let cleo: Api;
let dan: Api;
beforeAll(async () => {
  plane = await startControlPlane();
  const operator = async (name: string) => {
    const body = { name, role: 'platform-owner', highRisk: true, expiresInSeconds: 3600 };
    return plane.api.as((created(await plane.api.post('/api-tokens', body)) as { token: string }).token);
  };
  [ann, bob, cleo, dan] = (await Promise.all(['ann', 'bob', 'cleo', 'dan'].map(operator))) as [
    Api,
    Api,
    Api,
    Api,
  ];
});
afterAll(() => plane?.close());

const CAPABILITIES = ['can_run_vpn_exit', 'can_accept_client_ingress', 'can_run_file_cache'];

/** A node of a cluster that ann has made and bob has admitted it to. */
async function admitted() {
  const { id } = created(await ann.post('/clusters', { name: unique('cluster') })) as { id: string };
  const { token } = created(await ann.post(`/clusters/${id}/join-tokens`)) as { token: string };
  const node = await TestNode.make(plane.url, { capabilities: CAPABILITIES });
  created(await node.enroll(token));
  const path = `/clusters/${id}/join-requests/${node.joinRequestId}/approve`;
  node.nodeId = (created(await bob.post(path)) as { approvedNodeId: string }).approvedNodeId;
  const cluster = `/clusters/${id}`;
  return { node, cluster, path: `${cluster}/nodes/${node.nodeId}` };
}

interface Explained {
  pointer: string;
  auditEventId: string;
  actor: { type: string; displayName: string };
  at: string;
  summary: string;
}

/** Who did what, by pointer; each event is the one that the log has. */
async function explained(path: string): Promise<Record<string, string>> {
  const { items } = created(await plane.api.get(`${path}/snapshot/explain`)) as { items: Explained[] };
  const told: Record<string, string> = {};
  for (const { pointer, auditEventId, actor, at, summary } of items) {
    const event = created(await plane.api.get(`/audit/events/${auditEventId}`)) as Payload;
    expect([event.occurredAt, event.actor]).toEqual([at, expect.objectContaining(actor)]);
    expect(summary).toContain(event.resource.type.replaceAll('_', ' '));
    told[pointer] = `${actor.type === 'node' ? 'node' : actor.displayName} ${event.action}`;
  }
  return told;
}

/** Pointers to everything in a payload that is not empty, and no issue's number or time. */
function leaves(value: unknown, pointer = ''): string[] {
  if (['/generation', '/issuedAt', '/expiresAt'].includes(pointer)) return [];
  if (typeof value !== 'object' || value === null) return [pointer];
  return Object.entries(value).flatMap(([name, member]) => leaves(member, `${pointer}/${name}`));
}

describe('the explanation of a snapshot', () => {
  it('names for each item the event that made it what it is, and whose it was', async () => {
    const { node, cluster, path } = await admitted();
    expect(await explained(path)).toEqual({
      '/schema': 'bob join_request.approved',
      '/clusterId': 'bob join_request.approved',
      '/nodeId': 'bob join_request.approved',
      '/membership/status': 'bob join_request.approved',
      '/membership/name': 'bob join_request.approved',
      '/telemetry/enabled': 'bob join_request.approved',
      '/authorityTerm': 'ann cluster.created',
      '/degradedGraceSeconds': 'ann cluster.created',
      '/trust/snapshotKeys/0': 'ann cluster.created',
    });

    const assign = async (api: Api, role: string, organizationId?: string) =>
      created(
        await api.post(`${cluster}/role-assignments`, { nodeId: node.nodeId, role, organizationId }),
      ) as {
        id: string;
      };
    const exit = await assign(ann, 'vpn-exit');
    await assign(cleo, 'entry-node');
    await assign(dan, 'file-storage-cache');
    const workload = { desiredState: 'running', runtime: 'native' };
    created(await bob.put(`${path}/workloads/vpn-exit`, workload));
    created(await cleo.patch(path, { name: unique('renamed') }));
    created(await dan.patch(path, { telemetryEnabled: true }));
    created(await bob.put(`${cluster}/policy`, { degradedGraceSeconds: 61 }));
    created(await dan.post(`${cluster}/trust/rotations`, { kind: 'snapshot_key' }));
    // What has happened since changes none of it.
    created(await ann.patch(path, { labels: { ring: 'canary' } }));
    created(await ann.put(`${cluster}/policy`, { degradedGraceSeconds: 61, heartbeatSeconds: 20 }));
    const before = await explained(path);
    expect(before).toMatchObject({
      '/membership/name': 'cleo node.updated',
      '/telemetry/enabled': 'dan node.updated',
      '/degradedGraceSeconds': 'bob cluster_policy.updated',
      '/trust/snapshotKeys/0': 'ann cluster.created',
      '/trust/snapshotKeys/1': 'dan trust_rotation.started',
      '/roles/0': 'cleo role_assignment.created', // entry-node
      '/roles/1': 'dan role_assignment.created', // file-storage-cache
      '/roles/2': 'ann role_assignment.created', // vpn-exit
      '/services/0': 'ann role_assignment.created',
      '/ingress': 'cleo role_assignment.created',
      '/storage': 'dan role_assignment.created',
      '/workloads/0': 'bob workload.created',
    });
    const { body: payload } = await plane.api.get(`${path}/snapshot`);
    const pointers = Object.keys(before);
    for (const leaf of leaves(payload)) {
      expect([leaf, pointers.some((pointer) => leaf === pointer || leaf.startsWith(`${pointer}/`))]).toEqual([
        leaf,
        true,
      ]);
    }

    // A role that goes and comes again is there since it came again, and with it all that it brings.
    created(await bob.post(`${cluster}/role-assignments/${exit.id}/disable`));
    created(await cleo.post(`${cluster}/role-assignments/${exit.id}/enable`));
    expect(await explained(path)).toMatchObject({
      '/roles/2': 'cleo role_assignment.enabled',
      '/services/0': 'cleo role_assignment.enabled',
      '/workloads/0': 'cleo role_assignment.enabled',
    });
    created(await dan.put(`${path}/workloads/vpn-exit`, { ...workload, version: '2.0.0' }));
    expect((await explained(path))['/workloads/0']).toBe('dan workload.updated');

    const connections = `${cluster}/vpn-connections`;
    const connection = created(
      await bob.post(connections, { name: unique('vpn'), kind: 'exit', desiredState: 'enabled' }),
    ) as { id: string };
    const vpn = `${connections}/${connection.id}`;
    created(await ann.put(`${vpn}/allowed-nodes`, { nodeIds: [node.nodeId] }));
    expect((await explained(path))['/vpnAssignments/0']).toBe('ann vpn_connection.updated');
    created(await dan.patch(vpn, { leaseTtlSeconds: 60 }));
    created(await bob.patch(vpn, { failbackPolicy: { mode: 'after_stable_seconds', seconds: 60 } }));
    expect((await explained(path))['/vpnAssignments/0']).toBe('dan vpn_connection.updated');

    // A second role of the same kind brings nothing that is not there already.
    await assign(ann, 'vpn-exit', node.nodeId);
    expect(await explained(path)).toMatchObject({
      '/roles/3': 'ann role_assignment.created',
      '/services/0': 'cleo role_assignment.enabled',
    });
  });

  it('follows a role that capability, policy or membership took away and gave back', async () => {
    const { node, cluster, path } = await admitted();
    const body = { nodeId: node.nodeId, role: 'vpn-exit' };
    created(await ann.post(`${cluster}/role-assignments`, body));
    const api = await node.api();
    const facts = { os: 'linux', arch: 'x64', hostname: node.name };
    const report = async (capabilities: string[]) =>
      created(await api.put('/node-agents/me/capabilities', { capabilities, facts }));
    await report(['can_route_mesh']);
    await report(['can_route_mesh', 'can_run_vpn_exit']);
    expect((await explained(path))['/roles/0']).toBe('node node.capabilities_changed');
    await report(['can_run_vpn_exit']); // of another capability
    const [{ at: reportedAt } = { at: '' }] = (
      created(await plane.api.get(`${path}/snapshot/explain`)) as { items: Explained[] }
    ).items.filter(({ pointer }) => pointer === '/roles/0');

    created(
      await bob.put(`${cluster}/policy`, {
        capabilityPolicy: { denied: ['can_run_vpn_exit', 'can_route_mesh'] },
      }),
    );
    expect(await explained(path)).not.toHaveProperty('/roles/0');
    created(await cleo.put(`${cluster}/policy`, { capabilityPolicy: { denied: ['can_route_mesh'] } }));
    created(await dan.put(`${cluster}/policy`, {})); // of another capability
    const told = await explained(path);
    expect([told['/roles/0'], told['/services/0']]).toEqual([
      'cleo cluster_policy.updated',
      'cleo cluster_policy.updated',
    ]);
    expect(Date.parse(reportedAt)).toBeLessThan(Date.now());

    created(await dan.post(`${path}/disable`, { reason: 'For the drill.' }));
    expect(await explained(path)).toMatchObject({ '/membership/status': 'dan node.disabled' });
    created(await bob.post(`${path}/enable`));
    expect(await explained(path)).toMatchObject({
      '/membership/status': 'bob node.enabled',
      '/roles/0': 'bob node.enabled',
      '/services/0': 'bob node.enabled',
    });
  });

  it('follows the term, and a key through its rotation', async () => {
    const { cluster, path } = await admitted();
    const move = async (api: Api, to: string, expectedTerm: number) =>
      created(await api.post(`${cluster}/authority/transitions`, { to, reason: 'A drill.', expectedTerm }));
    await move(bob, 'degraded', 1);
    expect((await explained(path))['/authorityTerm']).toBe('ann cluster.created');
    await move(cleo, 'authoritative', 1);
    await move(dan, 'degraded', 2);
    await move(dan, 'recovering', 2);
    expect((await explained(path))['/authorityTerm']).toBe('cleo authority.transitioned');
    await move(ann, 'authoritative', 2);
    const rotations = `${cluster}/trust/rotations`;
    const { id } = created(await dan.post(rotations, { kind: 'snapshot_key' })) as { id: string };
    for (const to of ['activate', 'taint', 'retire'])
      created(await bob.post(`${rotations}/${id}/advance`, { to, override: { reason: 'A drill.' } }));
    expect(await explained(path)).toMatchObject({
      '/authorityTerm': 'ann authority.transitioned',
      '/trust/snapshotKeys/0': 'dan trust_rotation.started',
    });
  });

  it('goes by what stands there now, also where a later event was overtaken', async () => {
    const { node, cluster, path } = await admitted();
    created(await cleo.patch(path, { name: unique('now') }));
    // Of a transaction that began later and committed first; and one of the same node in another cluster.
    for (const clusterId of [cluster.split('/')[2], node.nodeId]) {
      await plane.database.query(
        `INSERT INTO audit_events (id, occurred_at, actor_type, action, resource_type, resource_id, cluster_id, outcome, high_risk, before, after)
         VALUES (gen_random_uuid(), now() + interval '1 minute', 'system', 'node.updated', 'node', $1, $2, 'success', false,
                 '{"name": "before"}', '{"name": "overtaken"}')`,
        [node.nodeId, clusterId],
      );
    }
    expect((await explained(path))['/membership/name']).toBe('cleo node.updated');
  });

  it('is short, in words, with the reason that was given', async () => {
    const { path } = await admitted();
    created(await dan.post(`${path}/disable`, { reason: 'For the drill.' }));
    const { items } = created(await plane.api.get(`${path}/snapshot/explain`)) as { items: Explained[] };
    const summary = items.find(({ pointer }) => pointer === '/membership/status')?.summary;
    expect(summary).toMatch(/^node \S+ disabled: For the drill\.$/);
  });

  it('is told to those who may read snapshots, of nodes that have one', async () => {
    const { node, path } = await admitted();
    expect((await (await node.api()).get(`${path}/snapshot/explain`)).status).toBe(403);
    created(await dan.post(`${path}/revoke`, { reason: 'Gone.' }));
    expect((await plane.api.get(`${path}/snapshot/explain`)).status).toBe(404);
  });
});
