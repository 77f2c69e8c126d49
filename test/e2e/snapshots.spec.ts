import { createPublicKey, verify } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { ROLE_CATALOGUE, ROLE_NAMES, type RoleName } from '../../src/modules/roles/role-catalogue.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given } from '../support/given.js';
import { heldPolls } from '../support/held-polls.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

/** With every member that there is. */
const WORKLOAD = {
  desiredState: 'running',
  runtime: 'container',
  version: '1.4.2',
  config: { 'x-purpose': 'test' },
  secretRefs: { key: 'vault://edge/relay#key' },
  restartPolicy: { mode: 'on_failure', initialDelaySeconds: 2 },
  whenControlPlaneLost: 'stop',
  privileged: true,
};
const TIMING = { intervalSeconds: 10, timeoutSeconds: 3, failureThreshold: 2 };
const HEALTH_CHECKS = [
  { type: 'exec', command: ['/usr/bin/probe', '--quick'], ...TIMING },
  { type: 'http', url: 'http://127.0.0.1:7000/healthz', ...TIMING },
];
const OF_CORE = ['roles', 'workloads'];
const OF_INGRESS = ['ingress', 'roles', 'workloads'];
const OF_SERVICE = ['roles', 'services', 'workloads'];
const OF_EGRESS = ['roles', 'services', 'vpnAssignments', 'workloads'];
const OF_STORAGE = ['roles', 'storage', 'workloads'];
/** What says something in the snapshot of a node with the role, once more by hand: see the specification's list. */
const FILLED: Readonly<Record<RoleName, readonly string[]>> = {
  'core-mesh': OF_CORE,
  'relay-node': OF_CORE,
  'entry-node': OF_INGRESS,
  'admin-ingress': OF_INGRESS,
  'rdp-worker': OF_SERVICE,
  'vnc-worker': OF_SERVICE,
  'ssh-worker': OF_SERVICE,
  'video-relay': OF_SERVICE,
  'vpn-exit': OF_EGRESS,
  'vpn-connector': OF_EGRESS,
  'file-storage-cache': OF_STORAGE,
  'update-cache': OF_STORAGE,
  'config-storage': OF_STORAGE,
};

describe('snapshots', () => {
  let plane: ControlPlane;
  let second: ControlPlane;
  beforeAll(async () => {
    plane = await startControlPlane();
    second = await startControlPlane({ beside: plane });
  });
  afterAll(async () => {
    await second.close();
    await plane.close();
  });

  const poll = async (node: TestNode, etag?: string | null, waitSeconds?: number, on = plane) => {
    const { access_token } = (await node.requestToken()).body;
    const query = waitSeconds === undefined ? '' : `?waitSeconds=${waitSeconds}`;
    const headers: Record<string, string> =
      etag === undefined || etag === null ? {} : { 'if-none-match': etag };
    return on.api.as(access_token).get(`/node-agents/me/snapshot${query}`, undefined, headers);
  };
  const decode = (jws: string) => JSON.parse(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString());
  const assign = (node: TestNode, role: string, more: object = {}) =>
    plane.api.post(`/clusters/${node.clusterId}/role-assignments`, { nodeId: node.nodeId, role, ...more });

  it('are signed by the key of the cluster, as stock cryptography can check', async () => {
    const node = await admittedNode(plane);
    const { body } = await poll(node);
    const [header = '', payload = '', signature = ''] = body.jws.split('.');
    const { alg, typ, kid } = JSON.parse(Buffer.from(header, 'base64url').toString());
    expect([alg, typ]).toEqual(['EdDSA', 'rap-snapshot+jws']);
    const { keys } = (await plane.api.as(null).get(`/clusters/${node.clusterId}/trust/jwks`)).body;
    const jwk = keys.find((key: { kid: string }) => key.kid === kid);
    const key = createPublicKey({ key: jwk, format: 'jwk' });
    expect(verify(null, Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url'))).toBe(
      true,
    );
  });

  it('hold what the node may know of its one cluster', async () => {
    const node = await admittedNode(plane);
    const { body } = await poll(node);
    const payload = decode(body.jws);
    expect(payload).toEqual({
      schema: 'rap.cluster_snapshot.v1',
      clusterId: node.clusterId,
      nodeId: node.nodeId,
      generation: body.generation,
      authorityTerm: 1,
      issuedAt: expect.any(String),
      expiresAt: expect.any(String),
      degradedGraceSeconds: 86_400,
      trust: { snapshotKeys: (await plane.api.get(`/clusters/${node.clusterId}/trust/jwks`)).body.keys },
      membership: { status: 'active', name: node.name },
      roles: [],
      workloads: [],
      vpnAssignments: [],
      peers: [],
      routePolicy: {},
      qosPolicy: {},
      updates: [],
      telemetry: { enabled: false },
    });
    expect(Date.parse(payload.expiresAt) - Date.parse(payload.issuedAt)).toBe(86_400_000);
  });

  it('show the sections of a role to its nodes alone', async () => {
    const cluster = await given(plane).cluster();
    const [exit, relay] = [await admittedNode(plane, cluster.id), await admittedNode(plane, cluster.id)];
    expect((await assign(exit, 'vpn-exit')).status).toBe(201);
    expect((await assign(relay, 'relay-node')).status).toBe(201);
    expect(decode((await poll(exit)).body.jws).services).toEqual([
      { serviceType: 'vpn-exit', resourceRefs: [], connectorRefs: [] },
    ]);
    expect(decode((await poll(relay)).body.jws)).not.toHaveProperty('services');
  });

  it('follow their published schema, of every kind of node, and have no member that it does not name', async () => {
    const cluster = await given(plane).cluster();
    const answer = await plane.api.as(null).get('//schemas/rap.cluster_snapshot.v1.json');
    expect([answer.status, answer.headers.get('content-type')]).toEqual([
      200,
      expect.stringContaining('application/schema+json'),
    ]);
    expect(answer.headers.get('cache-control')).toBe('public, max-age=3600');
    expect(answer.body.$id).toBe(`${plane.url}/schemas/rap.cluster_snapshot.v1.json`);
    const ajv = new Ajv2020({ strict: false, allErrors: true });
    addFormats.default(ajv);
    const open = ajv.compile(answer.body);
    const closed = ajv.compile({ ...(withoutFurtherMembers(answer.body) as object), $id: 'closed' });
    const problems = (payload: unknown) =>
      [open, closed].map((validate) => (validate(payload) ? null : validate.errors));

    const able = Object.values(ROLE_CATALOGUE).flatMap(({ requiredCapabilities }) => requiredCapabilities);
    const bare = await admittedNode(plane, cluster.id, { capabilities: able });
    const everyone = await admittedNode(plane, cluster.id, { capabilities: able });
    expect(problems(decode((await poll(bare)).body.jws))).toEqual([null, null]);
    for (const role of ROLE_NAMES) {
      const node = await admittedNode(plane, cluster.id, { capabilities: able });
      await fill(node, role, { validFrom: '2026-01-01T00:00:00Z', validUntil: '2099-01-01T00:00:00.5Z' });
      await fill(everyone, role);
      const payload = decode((await poll(node)).body.jws);
      expect(problems(payload)).toEqual([null, null]);
      expect([role, filledMembers(payload)]).toEqual([role, FILLED[role]]);
    }
    const payload = decode((await poll(everyone)).body.jws);
    expect(problems(payload)).toEqual([null, null]);
    expect(filledMembers(payload)).toEqual([...new Set(Object.values(FILLED).flat())].sort());
    expect(payload.workloads).toHaveLength(ROLE_NAMES.length + 1);
    await plane.api.post(`/clusters/${cluster.id}/nodes/${everyone.nodeId}/disable`);
    const disabled = decode((await poll(everyone)).body.jws);
    expect([problems(disabled), filledMembers(disabled)]).toEqual([[null, null], []]);
    // That it can tell at all.
    expect(open({ ...payload, expiresAt: 'tomorrow' })).toBe(false);
    expect(open({ ...payload, more: 1 })).toBe(true);
    for (const member of ['roles', 'workloads', 'vpnAssignments', 'services'])
      expect(closed({ ...payload, [member]: [{ ...payload[member][0], more: 1 }] })).toBe(false);
  });

  it('keep their ETag on every instance and for every token, and answer 304 to it', async () => {
    const node = await admittedNode(plane);
    const first = await poll(node);
    const other = await poll(node, null, undefined, second);
    expect(other.headers.get('etag')).toBe(first.headers.get('etag'));
    expect(first.headers.get('etag')).toMatch(/^"1\.\d+\.\d+"$/);
    const unchanged = await poll(node, first.headers.get('etag'));
    expect([unchanged.status, unchanged.body, unchanged.headers.get('etag')]).toEqual([
      304,
      '',
      first.headers.get('etag'),
    ]);
  });

  it('grow their generation for the node that a change concerns, and for no other', async () => {
    const cluster = await given(plane).cluster();
    const [node, neighbour] = [await admittedNode(plane, cluster.id), await admittedNode(plane, cluster.id)];
    const before = [(await poll(node)).body.generation, (await poll(neighbour)).body.generation];
    await assign(node, 'vpn-exit');
    expect([(await poll(node)).body.generation, (await poll(neighbour)).body.generation]).toEqual([
      before[0] + 1,
      before[1],
    ]);
  });

  it('keep their generation when a change leaves their content as it is', async () => {
    const node = await admittedNode(plane);
    const before = (await poll(node)).body.generation;
    await plane.api.patch(`/clusters/${node.clusterId}/nodes/${node.nodeId}`, { labels: { ring: 'canary' } });
    expect((await poll(node)).body.generation).toBe(before);
  });

  it('grow for the whole cluster when all of them change', async () => {
    const node = await admittedNode(plane);
    const before = (await poll(node)).body.generation;
    await plane.api.put(`/clusters/${node.clusterId}/policy`, { degradedGraceSeconds: 60 });
    const { body } = await poll(node);
    expect([body.generation, decode(body.jws).degradedGraceSeconds]).toEqual([before + 1, 60]);
    await plane.api.patch(`/clusters/${node.clusterId}/nodes/${node.nodeId}`, { labels: { ring: 'canary' } });
    expect((await poll(node)).body.generation).toBe(before + 1);
  });

  it('lose roles that the policy denies the capability of, and keep the assignment', async () => {
    const node = await admittedNode(plane);
    await assign(node, 'vpn-exit');
    await plane.api.put(`/clusters/${node.clusterId}/policy`, {
      capabilityPolicy: { denied: ['can_run_vpn_exit'] },
    });
    expect(decode((await poll(node)).body.jws).roles).toEqual([]);
    const { body } = await plane.api.get(
      `/clusters/${node.clusterId}/role-assignments?nodeId=${node.nodeId}`,
    );
    expect(body.items[0]).toMatchObject({ status: 'active', effective: false });
  });

  it('carry the times of a role and do not depend on the clock', async () => {
    const node = await admittedNode(plane);
    const validUntil = new Date(Date.now() + 3_600_000).toISOString();
    await assign(node, 'vpn-exit', { validUntil });
    expect(decode((await poll(node)).body.jws).roles).toEqual([
      { role: 'vpn-exit', organizationId: null, policy: {}, validFrom: null, validUntil },
    ]);
  });

  it('of a disabled node say so and hold no roles', async () => {
    const node = await admittedNode(plane);
    await assign(node, 'vpn-exit');
    await plane.api.post(`/clusters/${node.clusterId}/nodes/${node.nodeId}/disable`, {
      reason: 'Maintenance.',
    });
    expect(decode((await poll(node)).body.jws)).toMatchObject({
      membership: { status: 'disabled' },
      roles: [],
    });
    await plane.api.post(`/clusters/${node.clusterId}/nodes/${node.nodeId}/enable`);
    expect(decode((await poll(node)).body.jws)).toMatchObject({
      membership: { status: 'active' },
      roles: [{ role: 'vpn-exit' }],
    });
  });

  it('wake a held poll on another instance when they change', async () => {
    const node = await admittedNode(plane);
    const etag = (await poll(node, null, undefined, second)).headers.get('etag');
    const held = poll(node, etag, 55, second);
    await assign(node, 'vpn-exit');
    const answer = await held;
    expect(answer.status).toBe(200);
    expect(decode(answer.body.jws).roles).toHaveLength(1);
  });

  it('end a held poll of a caller who has left, without a trace', async () => {
    const node = await admittedNode(plane);
    const { access_token } = (await node.requestToken()).body;
    const etag = (await poll(node)).headers.get('etag') ?? '';
    const leaving = new AbortController();
    const held = fetch(`${plane.url}/api/v1/node-agents/me/snapshot?waitSeconds=55`, {
      headers: { authorization: `Bearer ${access_token}`, 'if-none-match': etag },
      signal: leaving.signal,
    });
    await heldPolls(plane, 1);
    leaving.abort();
    await expect(held).rejects.toThrow();
    await heldPolls(plane, 0);
  });

  it.each(['56', '-1', 'abc', '5.5'])('refuse to wait %s seconds', async (seconds) => {
    const node = await admittedNode(plane);
    const api = await node.api();
    const answer = await api.get(`/node-agents/me/snapshot?waitSeconds=${seconds}`);
    expect([answer.status, answer.body.errors[0].parameter]).toEqual([400, 'waitSeconds']);
  });

  it('show themselves decoded to those who may read them, and to nobody else', async () => {
    const node = await admittedNode(plane);
    const path = `/clusters/${node.clusterId}/nodes/${node.nodeId}/snapshot`;
    expect((await plane.api.get(path)).body).toEqual(decode((await poll(node)).body.jws));
    expect((await (await node.api()).get(path)).status).toBe(403);
    await plane.api.post(`/clusters/${node.clusterId}/nodes/${node.nodeId}/revoke`, { reason: 'gone' });
    expect((await plane.api.get(path)).status).toBe(404);
  });

  it('count each of many concurrent changes of one node', async () => {
    const node = await admittedNode(plane, undefined, {
      capabilities: [
        'can_run_vpn_exit',
        'can_route_mesh',
        'can_run_vpn_connector',
        'can_run_file_cache',
        'can_run_update_cache',
      ],
    });
    const before = (await poll(node)).body.generation;
    const roles = [
      'vpn-exit',
      'relay-node',
      'core-mesh',
      'vpn-connector',
      'file-storage-cache',
      'update-cache',
    ];
    const answers = await Promise.all(roles.map((role) => assign(node, role)));
    expect(answers.map((answer) => answer.status)).toEqual(roles.map(() => 201));
    const { body } = await poll(node);
    expect(body.generation).toBe(before + roles.length);
    expect(decode(body.jws).roles.map((each: { role: string }) => each.role)).toEqual([...roles].sort());
  });

  /** Gives the role with a policy, and all that a node can be told because of it. */
  async function fill(node: TestNode, role: RoleName, bounds: object = {}): Promise<void> {
    const { clusterId, nodeId } = node;
    created(await assign(node, role, { ...bounds, policy: { weight: 5 } }));
    for (const [index, type] of [role, 'synthetic.echo'].entries()) {
      const at = `/clusters/${clusterId}/nodes/${nodeId}/workloads/${type}`;
      created(await plane.api.put(at, { ...WORKLOAD, healthCheck: HEALTH_CHECKS[index] ?? null }));
    }
    if (role !== 'vpn-exit' && role !== 'vpn-connector') return;
    await given(plane).vpnConnection(clusterId, {
      kind: role === 'vpn-exit' ? 'exit' : 'connector',
      allowedNodeIds: [nodeId],
      credentialRef: 'vault:vpn/office',
      routePolicies: [{ cidr: '10.0.0.0/8', action: 'deny', priority: 1 }],
    });
  }

  /** The members of a snapshot that say something because of a role. */
  function filledMembers(payload: Record<string, unknown>): string[] {
    return ['roles', 'workloads', 'vpnAssignments', 'services', 'ingress', 'storage']
      .filter((member) => {
        const value = payload[member];
        return Array.isArray(value) ? value.length > 0 : value !== undefined;
      })
      .sort();
  }

  /** The schema with every object closed to what it does not name. */
  function withoutFurtherMembers(schema: unknown): unknown {
    if (Array.isArray(schema)) return schema.map(withoutFurtherMembers);
    if (typeof schema !== 'object' || schema === null) return schema;
    const closed = Object.fromEntries(
      Object.entries(schema).map(([keyword, value]) => [keyword, withoutFurtherMembers(value)]),
    );
    return 'properties' in schema ? { additionalProperties: false, ...closed } : closed;
  }
});
