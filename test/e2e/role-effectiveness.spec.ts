import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given } from '../support/given.js';
import { OpenSsl } from '../support/openssl.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

let controlPlane: ControlPlane;
let api: Api;
beforeAll(async () => {
  // Without workers, who write down at each full minute what has expired, by the clock that a test sets.
  controlPlane = await startControlPlane({ config: { role: 'api' } });
  api = controlPlane.api;
});
afterAll(() => controlPlane?.close());

const path = ({ clusterId }: TestNode) => `/clusters/${clusterId}`;
const nodePath = (node: TestNode) => `${path(node)}/nodes/${node.nodeId}`;

async function assigned(node: TestNode, role: string, more = {}): Promise<string> {
  const body = { nodeId: node.nodeId, role, ...more };
  const { id } = created(await api.post(`${path(node)}/role-assignments`, body)) as { id: string };
  return `${path(node)}/role-assignments/${id}`;
}

describe('a role with bounds in time', () => {
  const setClock = (at: string) =>
    controlPlane.database.query('UPDATE database_clock SET recorded_at = $1', [at]);
  afterEach(() => controlPlane.database.query('UPDATE database_clock SET recorded_at = now()'));

  it('is effective from one instant to the other, in every place, without a worker or a generation', async () => {
    const node = await admittedNode(controlPlane);
    const bounds = { validFrom: '2050-01-01T00:00:00.000Z', validUntil: '2050-01-02T00:00:00.000Z' };
    const assignment = await assigned(node, 'vpn-exit', bounds);
    const generation = async () => (await api.get(nodePath(node))).body.snapshotGeneration;
    const roles = async () => (await api.get(`${nodePath(node)}/snapshot`)).body.roles;
    const [carried, numbered] = [await roles(), await generation()];
    expect(carried).toMatchObject([{ role: 'vpn-exit', ...bounds }]);
    const feed = () =>
      controlPlane.database.query(
        `SELECT id, kind FROM change_feed WHERE kind <> 'bootstrap_token.used' ORDER BY id`,
      );
    const told = await feed();
    for (const [clock, reason] of [
      ['2049-12-31T23:59:59.999Z', 'not_yet_valid'],
      ['2050-01-01T00:00:00.000Z', null],
      ['2050-01-01T23:59:59.999Z', null],
      ['2050-01-02T00:00:00.000Z', 'no_longer_valid'],
    ] as const) {
      await setClock(clock);
      const isEffective = reason === null;
      const { body, headers } = await api.get(assignment);
      expect({ clock, effective: body.effective, reason: body.ineffectiveReason }).toEqual({
        clock,
        effective: isEffective,
        reason,
      });
      expect((await api.get(assignment, { 'if-none-match': headers.get('etag') ?? '' })).status).toBe(304);
      const { conditions, effective } = (await api.get(`${assignment}/explain`)).body;
      expect(effective).toBe(isEffective);
      expect(conditions.filter(({ holds }: { holds: boolean }) => !holds)).toEqual(
        isEffective ? [] : [expect.objectContaining({ reason })],
      );
      expect((await api.get(`${path(node)}/role-coverage/vpn-exit`)).body.effective).toBe(
        isEffective ? 1 : 0,
      );
      expect(await roles()).toEqual(carried);
    }
    expect(await generation()).toBe(numbered);
    expect(await feed()).toEqual(told);
  });

  it('does not protect what is over: the last node may go', async () => {
    const node = await admittedNode(controlPlane);
    await assigned(node, 'vpn-exit', { validUntil: '2050-01-02T00:00:00Z' });
    created(await api.put(`${path(node)}/role-coverage/vpn-exit`, { minimum: 1 }));
    expect((await api.post(`${nodePath(node)}/disable`)).body.code).toBe('role_minimum_violated');
    await setClock('2050-01-02T00:00:00.000Z');
    expect((await api.post(`${nodePath(node)}/disable`)).status).toBe(200);
  });
});

describe('a capability under an active role', () => {
  const facts = { os: 'linux', arch: 'x64', hostname: 'h' };
  const report = async (node: TestNode, capabilities: string[]) =>
    created(await (await node.api()).put('/node-agents/me/capabilities', { capabilities, facts }));

  /** The node's risky states wherever they are shown. */
  async function risks(node: TestNode): Promise<string[]> {
    const { body: shown } = await api.get(nodePath(node));
    const { body: summary } = await api.get(`${path(node)}/summary`);
    const { body: list } = await api.get(`${path(node)}/risky-states`);
    type Risk = { kind: string; resource: { id: string } };
    const kinds = (risks: Risk[]) =>
      risks
        .filter(({ resource }) => resource.id === node.nodeId)
        .map(({ kind }) => kind)
        .sort();
    expect(kinds(list.items)).toEqual([...shown.riskyStates].sort());
    expect(kinds(summary.riskyStates)).toEqual([...shown.riskyStates].sort());
    expect(shown.health).toBe(shown.riskyStates.length > 0 ? 'degraded' : 'online');
    expect(summary.nodes[shown.health]).toBe(1);
    return shown.riskyStates;
  }

  it('that disappears, or is denied, is a risky state; the role stays assigned and gives nothing', async () => {
    const node = await admittedNode(controlPlane, undefined, { capabilities: ['can_run_vpn_exit'] });
    created(await (await node.api()).post('/node-agents/me/heartbeat', node.heartbeat()));
    const assignment = await assigned(node, 'vpn-exit');
    expect(await risks(node)).toEqual([]);
    await report(node, []);
    expect(await risks(node)).toEqual(['role_capability_missing']);
    expect((await api.get(assignment)).body).toMatchObject({
      status: 'active',
      effective: false,
      ineffectiveReason: 'capability_missing',
    });
    await report(node, ['can_run_vpn_exit']);
    expect(await risks(node)).toEqual([]);
    const deny = (denied: string[]) => api.put(`${path(node)}/policy`, { capabilityPolicy: { denied } });
    created(await deny(['can_run_vpn_exit']));
    expect(await risks(node)).toEqual(['role_capability_denied']);
    const { body } = await api.get(nodePath(node));
    expect(body).toMatchObject({ capabilities: ['can_run_vpn_exit'], roles: ['vpn-exit'] });
    expect((await api.get(assignment)).body).toMatchObject({
      status: 'active',
      effective: false,
      ineffectiveReason: 'capability_denied',
    });
    const found = await api.get(
      `${path(node)}/nodes?filter=${encodeURIComponent('riskyState = "role_capability_denied"')}`,
    );
    expect(found.body.items.map(({ nodeId }: TestNode) => nodeId)).toEqual([node.nodeId]);
    created(await deny(['can_route_mesh']));
    expect(await risks(node)).toEqual([]);
  });

  it('is no risk where the role is disabled or over, or the node has no work', async () => {
    const node = await admittedNode(controlPlane, undefined, { capabilities: ['can_run_vpn_exit'] });
    const assignment = await assigned(node, 'vpn-exit');
    await report(node, []);
    const kinds = async () => (await api.get(nodePath(node))).body.riskyStates;
    expect(await kinds()).toEqual(['role_capability_missing']);
    created(await api.post(`${assignment}/disable`));
    expect(await kinds()).toEqual([]);
    created(await api.post(`${assignment}/enable`));
    created(await api.post(`${nodePath(node)}/disable`));
    expect(await kinds()).toEqual([]);
    created(await api.post(`${nodePath(node)}/enable`));
    expect(await kinds()).toEqual(['role_capability_missing']);
    await controlPlane.database.query(
      'UPDATE node_role_assignments SET valid_until = now() - make_interval(secs => 0.001) WHERE node_id = $1',
      [node.nodeId],
    );
    expect(await kinds()).toEqual([]);
  });
});

describe('admin-ingress', () => {
  it('is effective only while the cluster is in order, which each condition tells', async () => {
    const { id: clusterId } = await given(controlPlane).cluster();
    const node = await admittedNode(controlPlane, clusterId, { capabilities: ['can_accept_client_ingress'] });
    const other = await admittedNode(controlPlane, clusterId);
    const assignment = await assigned(node, 'admin-ingress');
    const failing = async () => {
      const { body } = await api.get(`${assignment}/explain`);
      type Condition = { name: string; holds: boolean; reason: string | null };
      const unmet = (body.conditions as Condition[]).filter(({ holds }) => !holds);
      expect(body.conditions).toHaveLength(11);
      const shown = (await api.get(assignment)).body;
      expect(shown).toMatchObject({ effective: body.effective, ineffectiveReason: unmet[0]?.reason ?? null });
      const listed = (await api.get(`/clusters/${clusterId}/role-assignments?role=admin-ingress`)).body.items;
      expect(listed).toEqual([shown]);
      const { effective } = (await api.get(`/clusters/${clusterId}/role-coverage/admin-ingress`)).body;
      expect({ isEffective: body.effective, effective }).toEqual({
        isEffective: unmet.length === 0,
        effective: unmet.length === 0 ? 1 : 0,
      });
      // None of it is in the snapshot: the role is.
      const { roles } = (await api.get(`${nodePath(node)}/snapshot`)).body;
      expect(roles.map(({ role }: { role: string }) => role)).toEqual(['admin-ingress']);
      return unmet.map(({ name }) => name);
    };
    expect(await failing()).toEqual(['snapshots_signed_and_current', 'certificate_valid', 'node_current']);

    const agent = await node.api();
    const current = async () => (await api.get(nodePath(node))).body.snapshotGeneration as number;
    const beat = async () =>
      created(
        await agent.post('/node-agents/me/heartbeat', node.heartbeat({ appliedGeneration: await current() })),
      );
    await beat();
    expect(await failing()).toEqual(['certificate_valid']);
    const openssl = await OpenSsl.open();
    created(await agent.post('/node-agents/me/certificates', { csr: await openssl.csr() }));
    await openssl.close();
    expect(await failing()).toEqual([]);
    expect((await api.get(`/clusters/${clusterId}/role-coverage/admin-ingress`)).body).toMatchObject({
      assigned: 1,
      healthy: 1,
    });

    /** Tables of the cluster in which only this node has a row. */
    const change = async (table: string, to: string, condition: string, back: string) => {
      const set = (what: string) =>
        controlPlane.database.query(`UPDATE ${table} SET ${what} WHERE cluster_id = $1`, [clusterId]);
      await set(to);
      expect(await failing()).toEqual([condition]);
      await set(back);
      expect(await failing()).toEqual([]);
    };
    await change('cluster_authorities', `state = 'degraded'`, 'authority_healthy', `state = 'authoritative'`);
    const silent = `last_seen_at = now() - interval '90 seconds'`;
    await change('node_liveness', silent, 'node_current', 'last_seen_at = now()');
    const revoked = `revoked_at = now(), revocation_reason = 'x'`;
    const restored = 'revoked_at = NULL, revocation_reason = NULL';
    await change('node_certificates', revoked, 'certificate_valid', restored);
    const ended = `not_before = now() - interval '2 hours', not_after = now() - interval '1 hour'`;
    const renewed = `not_after = now() + interval '1 hour'`;
    await change('node_certificates', ended, 'certificate_valid', renewed);
    const keyPhase = (purpose: string, phase: string) =>
      `phase = CASE purpose WHEN '${purpose}' THEN '${phase}' ELSE phase END`;
    await change('cluster_keys', keyPhase('ca', 'retired'), 'certificate_valid', keyPhase('ca', 'active'));
    // Without it not even the platform can read a snapshot.
    const setKey = (phase: string) =>
      controlPlane.database.query(
        `UPDATE cluster_keys SET ${keyPhase('snapshot', phase)} WHERE cluster_id = $1`,
        [clusterId],
      );
    await setKey('superseded');
    expect((await api.get(assignment)).body.ineffectiveReason).toBe('snapshot_not_current');
    await setKey('active');

    // A change of its snapshot does not shut it off at once, but when the node does not follow.
    created(await api.patch(nodePath(node), { name: 'renamed' }));
    expect(await failing()).toEqual([]);
    for (const [table, key] of [
      ['node_generations', 'cluster_id'],
      ['clusters', 'id'],
    ])
      await controlPlane.database.query(
        `UPDATE ${table} SET generation_changed_at = now() - interval '90 seconds' WHERE ${key} = $1`,
        [clusterId],
      );
    expect(await failing()).toEqual(['snapshots_signed_and_current']);
    await beat();
    expect(await failing()).toEqual([]);

    // Wanted roles of the cluster are to be covered, its own apart.
    created(await api.put(`/clusters/${clusterId}/role-coverage/admin-ingress`, { minimum: 5 }));
    expect(await failing()).toEqual([]);
    created(await api.put(`/clusters/${clusterId}/role-coverage/vpn-exit`, { minimum: 1 }));
    expect(await failing()).toEqual(['role_coverage_exists']);
    await assigned(other, 'vpn-exit');
    expect(await failing()).toEqual([]);
    expect((await api.get(`/clusters/${clusterId}/summary`)).body.roleGaps).toMatchObject([
      { role: 'admin-ingress', minimum: 5, effective: 1, gap: 4 },
    ]);
    created(await api.post(`${assignment}/disable`, { force: true, reason: 'A drill.' }));
    const { body } = await api.get(`${assignment}/explain`);
    expect(body.conditions[0]).toMatchObject({
      name: 'role_explicitly_assigned',
      holds: false,
      reason: 'disabled',
    });
  });
});

describe('explaining an assignment', () => {
  it('is possible for every role, and only in its own cluster', async () => {
    const node = await admittedNode(controlPlane);
    const assignment = await assigned(node, 'core-mesh');
    const { body } = await api.get(`${assignment}/explain`);
    expect(body).toMatchObject({ nodeId: node.nodeId, role: 'core-mesh', effective: true });
    expect(body.conditions.map(({ name }: { name: string }) => name)).toEqual([
      'role_explicitly_assigned',
      'membership_active',
      'capabilities_allowed',
      'capabilities_reported',
      'validity_not_over',
      'validity_begun',
    ]);
    const elsewhere = (await given(controlPlane).cluster()).id;
    const id = assignment.split('/').at(-1);
    expect((await api.get(`/clusters/${elsewhere}/role-assignments/${id}/explain`)).status).toBe(404);
  });
});
