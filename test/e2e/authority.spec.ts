import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { declaredOperations } from '../../src/common/http/operation.js';
import type { Answer, Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import { admittedNode, TestNode } from '../support/test-node.js';

/** Everything that spreads trust, written out by hand, so that no route loses its guard unseen. */
const GUARDED = [
  'advanceTrustRotation',
  'approveJoinRequest',
  'createBulkRoleAssignment',
  'createRoleAssignment',
  'enableNode',
  'enableRoleAssignment',
  'handOverVpnLease',
  'replaceClusterPolicy',
  'replaceRoleCoverage',
  'startTrustRotation',
];
/** Where only a part spreads trust, and the handler refuses that part. */
const GUARDED_IN_PART = ['acquireOwnVpnLease', 'acquireVpnLease', 'requestCertificate'];

describe('the authority of a cluster', () => {
  let plane: ControlPlane;
  let api: Api;
  beforeAll(async () => {
    plane = await startControlPlane();
    api = plane.api;
  });
  afterAll(() => plane.close());

  const at = (clusterId: string) => `/clusters/${clusterId}/authority`;
  const move = (clusterId: string, to: string, expectedTerm: number, as: Api = api): Promise<Answer> =>
    as.post(`${at(clusterId)}/transitions`, { to, reason: 'As the test wants it.', expectedTerm });
  const cluster = async () => (await given(plane).cluster()).id;
  const token = async (input: Record<string, unknown>) =>
    api.as(
      (created(await api.post('/api-tokens', { name: unique('token'), ...input })) as { token: string })
        .token,
    );

  it('moves where an operator sends it, with the term rising on each return to authoritative', async () => {
    const id = await cluster();
    const first = (await api.get(at(id))).body;
    expect(first).toMatchObject({ state: 'authoritative', term: 1 });
    const partitioned = await move(id, 'partitioned', 1);
    expect([partitioned.status, partitioned.body]).toEqual([
      200,
      { ...first, state: 'partitioned', since: partitioned.body.since },
    ]);
    expect(Date.parse(partitioned.body.since)).toBeGreaterThanOrEqual(Date.parse(first.since));
    expect((await move(id, 'recovering', 1)).body).toMatchObject({ state: 'recovering', term: 1 });
    expect((await move(id, 'authoritative', 1)).body).toMatchObject({ state: 'authoritative', term: 2 });
    expect((await api.get(at(id))).body).toMatchObject({ state: 'authoritative', term: 2 });
    expect((await api.get(`/clusters/${id}`)).body.authority).toMatchObject({ term: 2 });
    const { body } = await api.get(`/audit/events?clusterId=${id}&action=authority.transitioned`);
    expect(body.items).toMatchObject([
      { before: { state: 'recovering', term: 1 }, after: { state: 'authoritative', term: 2 } },
      { before: { state: 'partitioned', term: 1 }, after: { state: 'recovering', term: 1 } },
      {
        before: { state: 'authoritative', term: 1 },
        after: { state: 'partitioned', term: 1 },
        reason: 'As the test wants it.',
        highRisk: true,
        resource: { type: 'authority', id },
      },
    ]);
  });

  it.each([
    ['another term', 'partitioned', 2, 'authority_term_conflict'],
    ['no such edge', 'recovering', 1, 'authority_transition_invalid'],
    ['authoritative already', 'authoritative', 1, 'authority_transition_invalid'],
    ['both wrong', 'recovering', 2, 'authority_term_conflict'],
  ])('does not move: %s', async (_, to, expectedTerm, code) => {
    const id = await cluster();
    const answer = await move(id, to, expectedTerm);
    expect([answer.status, answer.body.code]).toEqual([409, code]);
    expect((await api.get(at(id))).body).toMatchObject({ state: 'authoritative', term: 1 });
    const { body } = await api.get(`/audit/events?clusterId=${id}&action=operation.failed`);
    expect(body.items).toMatchObject([{ resource: { id: 'transitionAuthority' }, reason: code }]);
  });

  it('leaves fenced through recovering alone', async () => {
    const id = await cluster();
    created(await move(id, 'fenced', 1));
    const refused = await move(id, 'authoritative', 1);
    expect(refused.body).toMatchObject({ code: 'authority_transition_invalid', allowed: ['recovering'] });
    created(await move(id, 'recovering', 1));
    expect((await move(id, 'authoritative', 1)).body).toMatchObject({ term: 2 });
  });

  it('asked for the state that holds, changes nothing and writes nothing down', async () => {
    const id = await cluster();
    const first = created(await move(id, 'degraded', 1));
    expect(created(await move(id, 'degraded', 1))).toEqual(first);
    const { body } = await api.get(`/audit/events?clusterId=${id}&action=authority.transitioned`);
    expect(body.items).toHaveLength(1);
  });

  it('of ten racing moves back to authoritative makes one, and one new term', async () => {
    const id = await cluster();
    created(await move(id, 'partitioned', 1));
    const answers = await Promise.all(Array.from({ length: 10 }, () => move(id, 'authoritative', 1)));
    expect(answers.map((answer) => answer.body.code ?? answer.status).sort()).toEqual([
      200,
      ...Array.from({ length: 9 }, () => 'authority_term_conflict'),
    ]);
    expect((await api.get(at(id))).body).toMatchObject({ state: 'authoritative', term: 2 });
  });

  it('stands with its term in every snapshot, and grows every generation when the term does', async () => {
    const id = await cluster();
    const nodes = await Promise.all([admittedNode(plane, id), admittedNode(plane, id)]);
    const generations = () =>
      Promise.all(
        nodes.map(async (node) => (await api.get(`/clusters/${id}/nodes/${node.nodeId}/snapshot`)).body),
      );
    const before = await generations();
    created(await move(id, 'partitioned', 1));
    expect(await generations()).toMatchObject(
      before.map(({ generation }) => ({ generation, authorityTerm: 1 })),
    );
    created(await move(id, 'authoritative', 1));
    expect(await generations()).toMatchObject(
      before.map(({ generation }) => ({ generation: generation + 1, authorityTerm: 2 })),
    );
    const [node] = nodes;
    const poll = await (await node?.api())?.get('/node-agents/me/snapshot');
    expect(decodeJwt(poll?.body.jws)).toMatchObject({ authorityTerm: 2 });
    expect(poll?.headers.get('etag')).toMatch(/^"2\./);
  });

  it("planned, shows the term in each node's snapshot and moves nothing", async () => {
    const id = await cluster();
    const node = await admittedNode(plane, id);
    created(await move(id, 'partitioned', 1));
    const plan = await api.post(`${at(id)}/transitions?dryRun=true`, {
      to: 'authoritative',
      reason: 'Tried.',
      expectedTerm: 1,
    });
    expect(plan.body).toMatchObject({
      dryRun: true,
      result: { state: 'authoritative', term: 2 },
      affectedNodes: 1,
      changes: [{ nodeId: node.nodeId, patch: [{ op: 'replace', path: '/authorityTerm', value: 2 }] }],
    });
    expect((await api.get(at(id))).body).toMatchObject({ state: 'partitioned', term: 1 });
  });

  it('is moved by owners and recovery admins alone, with a credential made for it', async () => {
    const id = await cluster();
    const hour = { highRisk: true, expiresInSeconds: 3_600 };
    const recovery = await token({ role: 'recovery-admin', ...hour });
    for (const role of ['platform-admin', 'platform-operator', 'platform-engineering', 'auditor']) {
      const answer = await move(id, 'partitioned', 1, await token({ role, ...hour }));
      expect([answer.status, answer.body.code]).toEqual([403, 'forbidden']);
    }
    const weak = await move(id, 'partitioned', 1, await token({ role: 'recovery-admin' }));
    expect(weak.body.code).toBe('high_risk_credential_required');
    expect((await move(id, 'partitioned', 1, recovery)).status).toBe(200);
    const elsewhere = await token({ role: 'recovery-admin', clusterId: await cluster(), ...hour });
    expect((await move(id, 'fenced', 1, elsewhere)).status).toBe(404);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['an unknown state', { to: 'lost' }, '#/to'],
    ['no reason', { reason: undefined }, '#/reason'],
    ['no term', { expectedTerm: undefined }, '#/expectedTerm'],
    ['a term of 0', { expectedTerm: 0 }, '#/expectedTerm'],
    ['a term that is a text', { expectedTerm: '1' }, '#/expectedTerm'],
  ])('is not moved by a body with %s', async (_, change, pointer) => {
    const body = { to: 'partitioned', reason: 'Bad.', expectedTerm: 1, ...change };
    const answer = await api.post(`${at(await cluster())}/transitions`, body);
    expect([answer.status, answer.body.errors[0].pointer]).toEqual([422, pointer]);
  });

  it('of an archived cluster does not move', async () => {
    const id = await cluster();
    created(await api.delete(`/clusters/${id}`));
    expect((await move(id, 'partitioned', 1)).body.code).toBe('cluster_archived');
  });

  it('guards the operations of the list, and no others', () => {
    const guarded = declaredOperations().filter((operation) => operation.guardedByAuthority === true);
    expect(guarded.map(({ id }) => id)).toEqual(GUARDED);
    const inPart = declaredOperations().filter((operation) => operation.guardedInPart !== undefined);
    expect(inPart.map(({ id }) => id)).toEqual(GUARDED_IN_PART);
  });

  describe.each(['partitioned', 'degraded', 'fenced'])('while %s', (state) => {
    it('refuses what spreads trust and lets everything else go on', async () => {
      const id = await cluster();
      const path = `/clusters/${id}`;
      const node = await admittedNode(plane, id);
      const other = await admittedNode(plane, id);
      const roles = `${path}/role-assignments`;
      const kept = created(await api.post(roles, { nodeId: node.nodeId, role: 'vpn-exit' })) as {
        id: string;
      };
      const { token: joinToken } = await given(plane).joinToken(id);
      const applicant = await TestNode.make(plane.url);
      created(await applicant.enroll(joinToken));
      const rotation = created(await api.post(`${path}/trust/rotations`, { kind: 'ca' })) as { id: string };
      const connections = `${path}/vpn-connections`;
      const connection = created(
        await api.post(connections, {
          name: 'office',
          kind: 'exit',
          desiredState: 'enabled',
          allowedNodeIds: [node.nodeId],
        }),
      ) as { id: string };
      const lease = `${connections}/${connection.id}/lease`;
      const disabled = await admittedNode(plane, id);
      created(await api.post(`${path}/nodes/${disabled.nodeId}/disable`));
      created(await move(id, state, 1));

      const refused: Record<string, Answer> = {
        advanceTrustRotation: await api.post(`${path}/trust/rotations/${rotation.id}/advance`),
        approveJoinRequest: await api.post(`${path}/join-requests/${applicant.joinRequestId}/approve`),
        createBulkRoleAssignment: await api.post(`${roles}/bulk`, {
          selector: { nodeIds: [node.nodeId] },
          role: 'core-mesh',
        }),
        createRoleAssignment: await api.post(roles, { nodeId: node.nodeId, role: 'core-mesh' }),
        enableNode: await api.post(`${path}/nodes/${disabled.nodeId}/enable`),
        enableRoleAssignment: await api.post(`${roles}/${kept.id}/enable`),
        handOverVpnLease: await api.post(`${lease}/handover`, { toNodeId: node.nodeId }),
        replaceClusterPolicy: await api.put(`${path}/policy`, { heartbeatSeconds: 5 }),
        replaceRoleCoverage: await api.put(`${path}/role-coverage/vpn-exit`, { minimum: 1 }),
        startTrustRotation: await api.post(`${path}/trust/rotations`, { kind: 'snapshot_key' }),
      };
      expect(Object.keys(refused)).toEqual(GUARDED);
      for (const answer of Object.values(refused)) {
        expect([answer.status, answer.body.code, answer.body.authorityState]).toEqual([
          409,
          'cluster_not_authoritative',
          state,
        ]);
      }

      const newOwner = await api.post(`${lease}/acquire`, { nodeId: node.nodeId });
      expect([newOwner.status, newOwner.body.code]).toEqual([409, 'cluster_not_authoritative']);

      const agent = await node.api();
      const going = [
        await agent.post('/node-agents/me/heartbeat', node.heartbeat()),
        await agent.get('/node-agents/me/snapshot'),
        await agent.put('/node-agents/me/capabilities', {
          capabilities: ['can_route_mesh'],
          facts: { os: 'linux', arch: 'x64', hostname: 'same' },
        }),
        await api.post(`${roles}/${kept.id}/disable`),
        await api.delete(`${roles}/${kept.id}`),
        await api.post(`${path}/nodes/${other.nodeId}/disable`),
        await api.post(`${path}/nodes/${other.nodeId}/revoke`, { reason: 'Lost.' }),
        await api.post(`${path}/join-requests/${applicant.joinRequestId}/reject`, { reason: 'Later.' }),
        await api.patch(path, { labels: { site: 'msk' } }),
        await api.get(`${path}/summary`),
      ];
      expect(going.map((answer) => answer.status)).toEqual([
        200, 200, 200, 200, 204, 200, 200, 200, 200, 200,
      ]);

      created(await move(id, 'recovering', 1));
      expect((await api.put(`${path}/policy`, {})).body.code).toBe('cluster_not_authoritative');
      created(await move(id, 'authoritative', 1));
      expect((await api.put(`${path}/policy`, {})).status).toBe(200);
    });
  });

  it('lets a change that spreads trust and a move away from authoritative happen one after the other', async () => {
    for (let round = 0; round < 5; round += 1) {
      const id = await cluster();
      const [put, moveAway] = await Promise.all([
        api.put(`/clusters/${id}/policy`, { heartbeatSeconds: 5 }),
        move(id, 'fenced', 1),
      ]);
      expect(moveAway.status).toBe(200);
      const changed = await api.get(`/audit/events?clusterId=${id}&action=cluster_policy.updated`);
      expect(changed.body.items).toHaveLength(put.status === 200 ? 1 : 0);
      if (put.status !== 200) expect(put.body.code).toBe('cluster_not_authoritative');
    }
  });

  describe('explained', () => {
    it('says of each guarded operation whether it is refused now', async () => {
      const id = await cluster();
      const calm = (await api.get(`${at(id)}/explain`)).body;
      expect(calm).toMatchObject({ state: 'authoritative', term: 1 });
      expect(calm.items.map((item: { operation: string }) => item.operation)).toEqual(
        [...GUARDED, ...GUARDED_IN_PART].sort(),
      );
      expect(calm.items.some((item: { refused: boolean }) => item.refused)).toBe(false);
      created(await move(id, 'partitioned', 1));
      const { items } = (await api.get(`${at(id)}/explain`)).body;
      expect(items.every((item: { refused: boolean }) => item.refused)).toBe(true);
    });

    it('says of one operation which rule decides', async () => {
      const id = await cluster();
      created(await move(id, 'partitioned', 1));
      const ask = async (operation: string) =>
        (await api.get(`${at(id)}/explain?operation=${operation}`)).body.items;
      expect(await ask('replaceClusterPolicy')).toEqual([
        {
          operation: 'replaceClusterPolicy',
          summary: expect.any(String),
          guarded: true,
          refused: true,
          inPart: false,
          code: 'cluster_not_authoritative',
          reason: 'It spreads trust, and the cluster is partitioned: only an authoritative one may.',
        },
      ]);
      expect(await ask('revokeNode')).toMatchObject([{ guarded: false, refused: false, code: null }]);
      expect(await ask('requestCertificate')).toMatchObject([{ refused: true, inPart: true }]);
    });

    it('knows no operation that there is not', async () => {
      const answer = await api.get(`${at(await cluster())}/explain?operation=launchRocket`);
      expect([answer.status, answer.body.code, answer.body.errors[0].parameter]).toEqual([
        400,
        'invalid_parameter',
        'operation',
      ]);
    });
  });
});
