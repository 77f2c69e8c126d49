import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/common/ids/uuid.js';
import { ineffectiveReason } from '../../src/modules/roles/role-assignment.js';
import { ROLE_CATALOGUE, ROLE_NAMES } from '../../src/modules/roles/role-catalogue.js';
import type { Answer, Api } from '../support/api.js';
import { countByStatus } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given } from '../support/given.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

const limits = { unknownCredentialsPerMinute: 10_000, principalPerMinute: 100_000 };

let controlPlane: ControlPlane;
let api: Api;
beforeAll(async () => {
  controlPlane = await startControlPlane({ config: { limits } });
  api = controlPlane.api;
});
afterAll(() => controlPlane?.close());

const clusterPath = async () => `/clusters/${(await given(controlPlane).cluster()).id}`;
const coverageOf = async (path: string, role: string) =>
  (await api.get(`${path}/role-coverage/${role}`)).body;
const want = async (path: string, role: string, minimum: number) =>
  created(await api.put(`${path}/role-coverage/${role}`, { minimum }));

/** Nodes of a new cluster, each with the role. */
async function staffed(count: number, role = 'vpn-exit', capabilities = ['can_run_vpn_exit']) {
  const clusterId = (await given(controlPlane).cluster()).id;
  const path = `/clusters/${clusterId}`;
  const nodes: TestNode[] = [];
  const assignments: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const node = await admittedNode(controlPlane, clusterId, { capabilities });
    const body = { nodeId: node.nodeId, role };
    nodes.push(node);
    assignments.push((created(await api.post(`${path}/role-assignments`, body)) as { id: string }).id);
  }
  return { path, nodes, assignments };
}

const beat = async (node: TestNode, more = {}) =>
  created(await (await node.api()).post('/node-agents/me/heartbeat', node.heartbeat(more)));

async function eventsOf(resourceId: string | undefined) {
  const rows = await controlPlane.database.query<{
    action: string;
    reason: string | null;
    before: unknown;
    after: unknown;
  }>('SELECT action, reason, before, after FROM audit_events WHERE resource_id = $1 ORDER BY id', [
    resourceId,
  ]);
  return rows;
}

/** Members that report, of every status, with each history of certificates, in no other risky state, in each, and in all. */
async function seedNodesAtRisk(clusterId: string): Promise<void> {
  const flags = ['written', 'acknowledged', 'outdated', 'keyless', 'failed', 'incapable', 'denied'];
  const nodes = ['active', 'disabled', 'revoked'].flatMap((membership) =>
    [[], ['good'], ['expired'], ['revoked'], ['expired', 'good'], ['revoked', 'expired']].flatMap(
      (certificates) =>
        [[], ...flags.map((flag) => [flag]), flags].map((given) => ({
          id: newId(),
          membership,
          certificates,
          ...Object.fromEntries(flags.map((flag) => [flag, given.includes(flag)])),
        })),
    ),
  );
  await controlPlane.database.query(
    `WITH wanted AS MATERIALIZED (
       SELECT n.* FROM jsonb_to_recordset($2::jsonb) AS n (id uuid, membership text, certificates text[], written boolean,
              acknowledged boolean, outdated boolean, keyless boolean, failed boolean, incapable boolean, denied boolean)
     ), host AS (INSERT INTO nodes (id) SELECT w.id FROM wanted AS w
     ), member AS (
       INSERT INTO cluster_memberships (cluster_id, node_id, name, os, arch, agent_version, capabilities, membership_status,
              revoked_at)
       SELECT $1::uuid, w.id, 'n-' || w.id, 'linux', 'x64', CASE WHEN w.outdated THEN '0.0.9' ELSE '0.1.0' END,
              CASE WHEN w.incapable THEN '{}' ELSE '{can_run_vpn_exit,can_run_ssh_worker}'::text[] END, w.membership,
              CASE WHEN w.membership = 'revoked' THEN now() END FROM wanted AS w
     ), alive AS (
       INSERT INTO node_liveness (cluster_id, node_id, last_seen_at, sequence) SELECT $1::uuid, w.id, now(), 1 FROM wanted AS w
     ), key AS (
       INSERT INTO node_identities (id, cluster_id, node_id, public_key, key_thumbprint)
       SELECT gen_random_uuid(), $1::uuid, w.id, '{}', w.id::text FROM wanted AS w WHERE NOT w.keyless
     ), assigned AS (
       INSERT INTO node_role_assignments (id, cluster_id, node_id, role, assigned_by_type, assigned_by_id)
       SELECT gen_random_uuid(), $1::uuid, w.id, r.role, 'bootstrap', 'bootstrap'
         FROM wanted AS w, unnest(ARRAY['vpn-exit', 'ssh-worker']) AS r (role) WHERE r.role = 'vpn-exit' OR w.denied
     ), state AS (
       INSERT INTO node_risky_states (cluster_id, node_id, kind, since, acknowledged_at, acknowledged_by_type, acknowledged_by_id)
       SELECT $1::uuid, w.id, k.kind, now(), k.at, CASE WHEN k.at IS NOT NULL THEN 'bootstrap' END, 'bootstrap'
         FROM wanted AS w, LATERAL (VALUES ('clone_suspected', NULL::timestamptz, w.written), ('seen', now(), w.acknowledged))
              AS k (kind, at, has) WHERE k.has
     ), failing AS (
       INSERT INTO node_service_instances (cluster_id, node_id, service_type, created_at, desired_state, runtime, config,
              secret_refs, restart_policy, when_control_plane_lost, privileged, desired_at, desired_by_type, desired_by_id,
              service_instance_id, reported_state, reported_at, state_since, instance_since)
       SELECT $1::uuid, w.id, t.type, now(), 'running', 'native', '{}', '[]', '{}', 'keep', false, now(), 'bootstrap',
              'bootstrap', 'one', 'failed', now(), now(), now()
         FROM wanted AS w, unnest(ARRAY['synthetic.echo', 'rdp-worker']) AS t (type) WHERE w.failed
     )
     INSERT INTO node_certificates (cluster_id, serial, node_id, authority_kid, key_thumbprint, issued_at, not_before, not_after,
            revoked_at, revocation_reason)
     SELECT $1::uuid, upper(replace(gen_random_uuid()::text, '-', '')), w.id, k.kid, 'any', t.issued_at, t.issued_at,
            CASE c.kind WHEN 'expired' THEN now() ELSE now() + interval '1 day' END,
            CASE c.kind WHEN 'revoked' THEN now() END, CASE c.kind WHEN 'revoked' THEN 'superseded' END
       FROM wanted AS w CROSS JOIN unnest(w.certificates) WITH ORDINALITY AS c (kind, n)
      CROSS JOIN LATERAL (SELECT now() - interval '2 days' + make_interval(hours => c.n::int) AS issued_at) AS t
      CROSS JOIN LATERAL (SELECT y.kid FROM cluster_keys AS y WHERE y.cluster_id = $1::uuid AND y.purpose = 'ca' LIMIT 1) AS k`,
    [clusterId, JSON.stringify(nodes)],
  );
}

describe('the coverage of roles', () => {
  it('lists every role of the catalogue by name, in pages', async () => {
    const path = `${await clusterPath()}/role-coverage`;
    const { body } = await api.get(path);
    expect(body.items).toEqual(
      ROLE_NAMES.map((role) => ({ role, minimum: 0, assigned: 0, effective: 0, healthy: 0, gap: 0 })),
    );
    const first = await api.get(`${path}?limit=10`);
    const second = await api.get(`${path}?limit=10&cursor=${first.body.nextCursor}`);
    expect([...first.body.items, ...second.body.items]).toEqual(body.items);
    expect(second.body.nextCursor).toBeNull();
  });

  it('counts who has the role, who may act in it, and who of these is online', async () => {
    const { path, nodes, assignments } = await staffed(4);
    await want(path, 'vpn-exit', 4);
    const [one, two, three] = nodes;
    // Once for each node, whatever it has the role for.
    for (const organizationId of [newId(), newId()])
      created(
        await api.post(`${path}/role-assignments`, { nodeId: one?.nodeId, role: 'vpn-exit', organizationId }),
      );
    await beat(one as TestNode);
    await beat(two as TestNode);
    expect(await coverageOf(path, 'vpn-exit')).toEqual({
      role: 'vpn-exit',
      minimum: 4,
      assigned: 4,
      effective: 4,
      healthy: 2,
      gap: 0,
    });
    created(await api.post(`${path}/nodes/${two?.nodeId}/disable`, { force: true, reason: 'Broken.' }));
    await api.post(`${path}/nodes/${three?.nodeId}/revoke`, { force: true, reason: 'Broken.' });
    await api.post(`${path}/role-assignments/${assignments[3]}/disable`, { force: true, reason: 'Broken.' });
    expect(await coverageOf(path, 'vpn-exit')).toMatchObject({
      assigned: 2,
      effective: 1,
      healthy: 1,
      gap: 3,
    });
    const { body } = await api.get(`${path}/summary`);
    expect(body.roleGaps).toEqual([await coverageOf(path, 'vpn-exit')]);
  });

  it('counts as effective exactly what the assignments say of themselves', async () => {
    const { id: clusterId } = await given(controlPlane).cluster();
    const cluster = `/clusters/${clusterId}`;
    created(await api.put(`${cluster}/policy`, { capabilityPolicy: { denied: ['can_run_ssh_worker'] } }));
    const [now] = await controlPlane.database.query<{ now: Date }>(`SELECT date_trunc('hour', now()) AS now`);
    const at = (hours: number) => new Date(Number(now?.now) + hours * 3_600_000);
    const times = [null, at(-48), at(48)];
    const rows = ['vpn-exit', 'ssh-worker', 'config-storage'].flatMap((role) =>
      ['active', 'disabled', 'revoked'].flatMap((membership) =>
        [[], ['can_run_vpn_exit', 'can_run_ssh_worker']].flatMap((capabilities) =>
          ['active', 'disabled'].flatMap((status) =>
            times.flatMap((validFrom) =>
              times
                .filter((validUntil) => validFrom === null || validUntil === null || validFrom < validUntil)
                .map((validUntil) => ({ role, membership, capabilities, status, validFrom, validUntil })),
            ),
          ),
        ),
      ),
    );
    await controlPlane.database.query(
      `WITH wanted AS (
         SELECT gen_random_uuid() AS node_id, n.* FROM jsonb_to_recordset($2::jsonb) AS n (role text, membership text,
                capabilities text[], status text, "validFrom" timestamptz, "validUntil" timestamptz)
       ), host AS (INSERT INTO nodes (id) SELECT w.node_id FROM wanted AS w
       ), member AS (
         INSERT INTO cluster_memberships (cluster_id, node_id, name, os, arch, capabilities, membership_status, revoked_at)
         SELECT $1, w.node_id, 'n-' || w.node_id, 'linux', 'x64', w.capabilities, w.membership,
                CASE WHEN w.membership = 'revoked' THEN now() END FROM wanted AS w
       )
       INSERT INTO node_role_assignments (id, cluster_id, node_id, role, status, valid_from, valid_until, assigned_by_type,
              assigned_by_id)
       SELECT gen_random_uuid(), $1, w.node_id, w.role, w.status, w."validFrom", w."validUntil", 'bootstrap', 'bootstrap'
         FROM wanted AS w`,
      [clusterId, JSON.stringify(rows)],
    );
    for (const role of ['vpn-exit', 'ssh-worker', 'config-storage'] as const) {
      const mine = rows.filter((row) => row.role === role);
      const { requiredCapabilities } = ROLE_CATALOGUE[role];
      const effective = mine.filter(({ membership, capabilities, status, ...times }) => {
        const bearer = {
          membershipStatus: membership,
          capabilities,
          deniedCapabilities: ['can_run_ssh_worker'],
        };
        const grant = { status, requiredCapabilities, ...times };
        return ineffectiveReason(grant as never, bearer as never, new Date()) === null;
      });
      const assigned = mine.filter(
        ({ membership, status }) => membership !== 'revoked' && status === 'active',
      );
      expect(await coverageOf(cluster, role)).toMatchObject({
        assigned: assigned.length,
        effective: effective.length,
      });
    }
    expect((await coverageOf(cluster, 'vpn-exit')).effective).toBeGreaterThan(0);
    expect((await coverageOf(cluster, 'ssh-worker')).effective).toBe(0);
  });

  it('counts as healthy, and as at risk, exactly the nodes that say so of themselves', async () => {
    const { id: clusterId } = await given(controlPlane).cluster();
    const cluster = `/clusters/${clusterId}`;
    created(
      await api.put(`${cluster}/policy`, {
        capabilityPolicy: { denied: ['can_run_ssh_worker'] },
        agentVersionPolicy: { minimum: '0.1.0' },
        heartbeatSeconds: 3_600,
      }),
    );
    await want(cluster, 'vpn-exit', 1_000);
    await seedNodesAtRisk(clusterId);
    const { items } = (await api.get(`${cluster}/nodes?limit=200`)).body as {
      items: { membershipStatus: string; health: string; riskyStates: string[]; capabilities: string[] }[];
    };
    const living = items.filter(({ membershipStatus }) => membershipStatus !== 'revoked');
    const [effective, healthy] = [
      items.filter(
        ({ membershipStatus, capabilities }) =>
          membershipStatus === 'active' && capabilities.includes('can_run_vpn_exit'),
      ),
      living.filter(({ health }) => health === 'online'),
    ];
    const of = {
      effective: effective.length,
      healthy: effective.filter((node) => healthy.includes(node)).length,
    };
    expect(of.healthy).toBeGreaterThan(0);
    expect(await coverageOf(cluster, 'vpn-exit')).toMatchObject(of);
    const all = (await api.get(`${cluster}/role-coverage`)).body.items as { role: string }[];
    expect(all.find(({ role }) => role === 'vpn-exit')).toMatchObject(of);
    const overview = (await api.get('/overview?limit=200')).body.items as {
      cluster: { id: string };
      nodes: { online: number; degraded: number };
      roleGaps: unknown[];
      riskyStates: { kind: string; count: number }[];
    }[];
    const seen = overview.find((each) => each.cluster.id === clusterId);
    expect(seen?.nodes).toMatchObject({ online: healthy.length, degraded: living.length - healthy.length });
    expect(seen?.roleGaps).toEqual([expect.objectContaining(of)]);
    const kinds = living.flatMap(({ riskyStates }) => riskyStates);
    const counts = [...new Set(kinds)]
      .sort()
      .map((kind) => ({ kind, count: kinds.filter((each) => each === kind).length }));
    const told = seen?.riskyStates.map(({ kind, count }) => ({ kind, count })) ?? [];
    expect(told.sort((one, other) => (one.kind < other.kind ? -1 : 1))).toEqual(counts);
    expect(counts.map(({ kind }) => kind)).toEqual([
      'agent_version_blocked',
      'certificate_expired',
      'certificate_revoked',
      'clone_suspected',
      'identity_revoked',
      'role_capability_denied',
      'role_capability_missing',
      'workload_failed',
    ]);
  });
});

describe('a wanted minimum', () => {
  it('is made, replaced, and tells of both', async () => {
    const path = `${await clusterPath()}/role-coverage/vpn-exit`;
    expect(await api.put(path, { minimum: 2 })).toMatchObject({
      status: 201,
      body: { role: 'vpn-exit', minimum: 2, effective: 0, gap: 2 },
    });
    expect(await api.put(path, { minimum: 2 })).toMatchObject({ status: 200 });
    expect(await api.put(path, { minimum: 1 })).toMatchObject({ status: 200, body: { minimum: 1, gap: 1 } });
    expect(await api.put(path, { minimum: 0 })).toMatchObject({ status: 200, body: { minimum: 0, gap: 0 } });
    const [, , clusterId] = path.split('/');
    const rows = await controlPlane.database.query(
      `SELECT before, after FROM audit_events WHERE cluster_id = $1 AND action = 'role_coverage.updated' ORDER BY id`,
      [clusterId],
    );
    expect(rows).toEqual([
      { before: null, after: { minimum: 2 } },
      { before: { minimum: 2 }, after: { minimum: 1 } },
      { before: { minimum: 1 }, after: { minimum: 0 } },
    ]);
  });

  it('is made once, however many make it at once', async () => {
    const path = `${await clusterPath()}/role-coverage/vpn-exit`;
    const answers = await Promise.all(Array.from({ length: 8 }, () => api.put(path, { minimum: 3 })));
    expect(countByStatus(answers)).toEqual({ 200: 7, 201: 1 });
  });

  it('heeds If-Match, which looks at the minimum and not at the nodes', async () => {
    const { path, nodes } = await staffed(1);
    const target = `${path}/role-coverage/vpn-exit`;
    const seen = (await api.get(target)).headers.get('etag') ?? '';
    await beat(nodes[0] as TestNode);
    const now = await api.get(target);
    expect(now.body.healthy).toBe(1);
    expect(now.headers.get('etag')).not.toBe(seen);
    expect((await api.put(target, { minimum: 1 }, { 'if-match': seen })).status).toBe(201);
    const stale = await api.put(target, { minimum: 2 }, { 'if-match': seen });
    expect(stale).toMatchObject({ status: 412, body: { code: 'precondition_failed' } });
  });

  it('is refused where it makes no sense, and without authority or the permission', async () => {
    const path = await clusterPath();
    for (const body of [{}, { minimum: -1 }, { minimum: 1.5 }, { minimum: 100_001 }, { minimum: 1, more: 1 }])
      expect((await api.put(`${path}/role-coverage/vpn-exit`, body)).status).toBe(422);
    expect((await api.put(`${path}/role-coverage/king`, { minimum: 1 })).status).toBe(404);
    expect((await api.get(`${path}/role-coverage/king`)).status).toBe(404);
    const { token } = created(await api.post('/api-tokens', { name: 'reader', role: 'auditor' })) as {
      token: string;
    };
    expect((await api.as(token).get(`${path}/role-coverage`)).status).toBe(200);
    expect((await api.as(token).put(`${path}/role-coverage/vpn-exit`, { minimum: 1 })).status).toBe(403);
    const move = { to: 'degraded', reason: 'A drill.', expectedTerm: 1 };
    created(await api.post(`${path}/authority/transitions`, move));
    expect((await api.put(`${path}/role-coverage/vpn-exit`, { minimum: 1 })).body.code).toBe(
      'cluster_not_authoritative',
    );
  });
});

type Staff = Awaited<ReturnType<typeof staffed>>;
type Taking = [what: string, take: (staff: Staff, index: number, force?: boolean) => Promise<Answer>];

/** Every way in which an operator takes a node out of a role. */
const TAKINGS: readonly Taking[] = [
  [
    'disabling the node',
    ({ path, nodes }, index, force) =>
      api.post(`${path}/nodes/${nodes[index]?.nodeId}/disable`, { reason: 'Broken.', force }),
  ],
  [
    'revoking the node',
    ({ path, nodes }, index, force) =>
      api.post(`${path}/nodes/${nodes[index]?.nodeId}/revoke`, { reason: 'Broken.', force }),
  ],
  [
    'revoking the host',
    ({ nodes }, index, force) =>
      api.post(`/nodes/${nodes[index]?.nodeId}/revoke`, { reason: 'Broken.', force }),
  ],
  [
    'disabling the assignment',
    ({ path, assignments }, index, force) =>
      api.post(`${path}/role-assignments/${assignments[index]}/disable`, { reason: 'Broken.', force }),
  ],
  [
    'removing the assignment',
    ({ path, assignments }, index, force = false) =>
      api.delete(`${path}/role-assignments/${assignments[index]}?force=${force}&reason=Broken.`),
  ],
];

describe.each(TAKINGS)('%s', (_, take) => {
  it('is refused where the role would fall below its minimum, unless forced, which is told', async () => {
    const staff = await staffed(2);
    await want(staff.path, 'vpn-exit', 2);
    const refused = await take(staff, 0);
    expect(refused).toMatchObject({
      status: 409,
      body: { code: 'role_minimum_violated', roles: [{ role: 'vpn-exit', minimum: 2, effective: 1 }] },
    });
    expect(await coverageOf(staff.path, 'vpn-exit')).toMatchObject({ effective: 2 });
    expect((await take(staff, 0, true)).status).toBeLessThan(300);
    expect(await coverageOf(staff.path, 'vpn-exit')).toMatchObject({ effective: 1, gap: 1 });
    const events = [...(await eventsOf(staff.nodes[0]?.nodeId)), ...(await eventsOf(staff.assignments[0]))];
    expect(events.filter(({ after }) => (after as { forced?: boolean } | null)?.forced === true)).toEqual([
      expect.objectContaining({
        reason: 'Broken.',
        after: expect.objectContaining({ forced: true, rolesBelowMinimum: ['vpn-exit'] }),
      }),
    ]);
    // Still below: the next one is no better.
    expect((await take(staff, 1)).body.code).toBe('role_minimum_violated');
  });

  it('is let through where enough are left, or where it takes nothing', async () => {
    const staff = await staffed(3);
    await want(staff.path, 'vpn-exit', 2);
    const [idle] = staff.nodes;
    const facts = { os: 'linux', arch: 'x64', hostname: 'h' };
    created(
      await (await (idle as TestNode).api()).put('/node-agents/me/capabilities', { capabilities: [], facts }),
    );
    expect(await coverageOf(staff.path, 'vpn-exit')).toMatchObject({ assigned: 3, effective: 2 });
    expect((await take(staff, 0)).status).toBeLessThan(300);
    await want(staff.path, 'vpn-exit', 1);
    expect((await take(staff, 1)).status).toBeLessThan(300);
    expect(await coverageOf(staff.path, 'vpn-exit')).toMatchObject({ effective: 1, gap: 0 });
  });
});

describe('a wanted minimum under concurrency', () => {
  const pairs = TAKINGS.flatMap(([what, one], index) =>
    TAKINGS.slice(index).map(([other, two]) => [what, other, one, two] as const),
  );

  it.each(pairs)('lets only one of two go on: %s and %s', async (_, __, one, two) => {
    const staff = await staffed(2);
    await want(staff.path, 'vpn-exit', 1);
    const answers = await Promise.all([one(staff, 0), two(staff, 1)]);
    const refusals = answers.filter(({ status }) => status === 409);
    expect(refusals.map(({ body }) => body.code)).toEqual(['role_minimum_violated']);
    expect(answers.filter(({ status }) => status < 300)).toHaveLength(1);
    expect(await coverageOf(staff.path, 'vpn-exit')).toMatchObject({ effective: 1, gap: 0 });
  });

  it('holds under a rain of operators, none of whom is kept waiting in a circle', async () => {
    const roles = ['vpn-exit', 'core-mesh', 'relay-node'];
    const staff = await staffed(5, 'vpn-exit', ['can_run_vpn_exit', 'can_route_mesh']);
    const all = staff.assignments.map((id, index) => ({ id, node: staff.nodes[index] as TestNode }));
    for (const role of roles.slice(1))
      for (const node of staff.nodes) {
        const body = { nodeId: node.nodeId, role };
        all.push({
          id: (created(await api.post(`${staff.path}/role-assignments`, body)) as { id: string }).id,
          node,
        });
      }
    for (const role of roles) await want(staff.path, role, 2);
    const calls = all.flatMap(({ id, node }, index) => [
      () => api.post(`${staff.path}/role-assignments/${id}/${index % 3 === 0 ? 'enable' : 'disable'}`),
      () => api.post(`${staff.path}/nodes/${node.nodeId}/${index % 4 === 0 ? 'enable' : 'disable'}`),
      () => api.patch(`${staff.path}/nodes/${node.nodeId}`, { labels: { round: String(index) } }),
    ]);
    for (let round = 0; round < 3; round += 1) {
      const answers = await Promise.all(calls.map((call) => call()));
      const others = answers.filter(
        ({ status, body }) => status !== 200 && body.code !== 'role_minimum_violated',
      );
      expect(others.map(({ status, body }) => ({ status, code: body.code }))).toEqual([]);
      expect(countByStatus(answers)[409]).toBeGreaterThan(0);
      for (const role of roles) expect((await coverageOf(staff.path, role)).gap).toBe(0);
    }
  });
});

describe('insisting', () => {
  it('needs a reason', async () => {
    const { path, nodes, assignments } = await staffed(1);
    const pointer = '#/reason';
    for (const target of [`nodes/${nodes[0]?.nodeId}`, `role-assignments/${assignments[0]}`]) {
      const answer = await api.post(`${path}/${target}/disable`, { force: true });
      expect({ status: answer.status, pointer: answer.body.errors?.[0]?.pointer }).toEqual({
        status: 422,
        pointer,
      });
    }
    const answer = await api.delete(`${path}/role-assignments/${assignments[0]}?force=true`);
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ parameter: 'reason' }] } });
  });

  it('is told also where nobody would have refused', async () => {
    const { path, nodes } = await staffed(1);
    created(await api.post(`${path}/nodes/${nodes[0]?.nodeId}/disable`, { reason: 'Broken.', force: true }));
    expect((await eventsOf(nodes[0]?.nodeId)).at(-1)?.after).toEqual({
      membershipStatus: 'disabled',
      forced: true,
      rolesBelowMinimum: [],
    });
  });
});
