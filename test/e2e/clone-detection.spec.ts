import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CLONE_SIGNS, judgeBeat, type LastBeat } from '../../src/modules/nodes/heartbeat-order.js';
import { HeartbeatsRepository } from '../../src/modules/nodes/heartbeats.repository.js';
import type { Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, several, unique } from '../support/given.js';
import { freshKey, rotationBody } from '../support/rotation.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

describe('a key that two agents use', () => {
  let plane: ControlPlane;
  let api: Api;
  beforeAll(async () => {
    plane = await startControlPlane();
    api = plane.api;
  });
  afterAll(() => plane.close());

  const [A, B] = [randomUUID(), randomUUID()];
  const at = (node: TestNode) => `/clusters/${node.clusterId}/nodes/${node.nodeId}`;
  const view = async (node: TestNode) => (await api.get(at(node))).body;
  const beat = async (agent: Api, agentInstanceId: string | undefined, sequence: number, more: object = {}) =>
    created(
      await agent.post('/node-agents/me/heartbeat', {
        agentVersion: '0.1.0',
        agentInstanceId,
        sequence,
        ...more,
      }),
    );
  const incidents = async (node: TestNode) =>
    (await api.get(`/audit/events?resourceId=${node.nodeId}&action=node.clone_suspected`)).body.items;
  const acknowledge = (node: TestNode, as: Api = api) =>
    as.post(`${at(node)}/risky-states/clone_suspected/acknowledge`, { reason: 'The copy is gone.' });
  /** A node of which A has sent 1 and 2, B has sent 1, and A has sent 3. */
  const suspected = async (): Promise<{ node: TestNode; agent: Api }> => {
    const node = await admittedNode(plane);
    const agent = await node.api();
    await beat(agent, A, 1);
    await beat(agent, A, 2);
    await beat(agent, B, 1);
    await beat(agent, A, 3);
    return { node, agent };
  };

  it('is a risky state of the node, in the summary, in the list and in the audit log', async () => {
    const { node } = await suspected();
    expect(await view(node)).toMatchObject({ health: 'degraded', riskyStates: ['clone_suspected'] });
    const state = {
      kind: 'clone_suspected',
      resource: { type: 'node', id: node.nodeId, name: node.name },
      since: expect.stringMatching(/Z$/),
      severity: 'critical',
      acknowledgedBy: null,
    };
    expect((await api.get(`/clusters/${node.clusterId}/risky-states`)).body.items).toEqual([state]);
    expect((await api.get(`/clusters/${node.clusterId}/summary`)).body).toMatchObject({
      nodes: { degraded: 1 },
      riskyStates: [state],
    });
    const found = await api.get(`/clusters/${node.clusterId}/nodes?filter=riskyState = "clone_suspected"`);
    expect(found.body.items).toHaveLength(1);
    expect(await incidents(node)).toMatchObject([
      {
        actor: { type: 'node', id: node.nodeId, ip: '127.0.0.1' },
        after: { sign: 'instances_alternate', agentInstanceId: A, sequence: 3 },
      },
    ]);
  });

  it('shows in a sequence that goes back, too', async () => {
    const node = await admittedNode(plane);
    const agent = await node.api();
    await beat(agent, A, 5, { appliedGeneration: 2 });
    await beat(agent, A, 4, { appliedGeneration: 1 });
    expect(await view(node)).toMatchObject({ riskyStates: ['clone_suspected'], appliedGeneration: 2 });
    expect(await incidents(node)).toMatchObject([{ after: { sign: 'sequence_went_back', sequence: 4 } }]);
  });

  it.each<[string, [string | undefined, number][]]>([
    [
      'one agent',
      [
        [A, 1],
        [A, 2],
        [A, 3],
      ],
    ],
    [
      'a delivery that came twice',
      [
        [A, 1],
        [A, 1],
        [A, 2],
      ],
    ],
    [
      'a restart',
      [
        [A, 8],
        [B, 1],
        [B, 2],
      ],
    ],
    [
      'a delivery of before the restart that came twice',
      [
        [A, 8],
        [B, 1],
        [A, 8],
        [B, 2],
      ],
    ],
    [
      'an agent that does not say which one it is',
      [
        [undefined, 8],
        [undefined, 1],
        [undefined, 2],
      ],
    ],
  ])('is not what %s looks like', async (_, beats) => {
    const node = await admittedNode(plane);
    const agent = await node.api();
    for (const [instance, sequence] of beats) await beat(agent, instance, sequence);
    expect(await view(node)).toMatchObject({ health: 'online', riskyStates: [] });
    expect(await incidents(node)).toEqual([]);
  });

  it('is written down once, however long it goes on', async () => {
    const { node, agent } = await suspected();
    for (let turn = 1; turn < 6; turn += 1) {
      await beat(agent, B, 1 + turn);
      await beat(agent, A, 3 + turn);
    }
    expect(await incidents(node)).toHaveLength(1);
  });

  it('is written down once when both beat at the same time, on two instances of the service', async () => {
    const beside = await startControlPlane({ beside: plane });
    try {
      const node = await admittedNode(plane);
      const here = await node.api();
      const there = here.as((await node.requestToken()).body.access_token);
      await beat(here, A, 1);
      await beat(here, B, 1);
      await beat(here, A, 2);
      created(await acknowledge(node));
      await Promise.all(
        Array.from({ length: 20 }, (_, turn) =>
          turn % 2 === 0 ? beat(here, A, 10 + turn) : beat(there, B, 10 + turn),
        ),
      );
      expect((await incidents(node)).length).toBeLessThanOrEqual(2);
      expect((await view(node)).riskyStates).toEqual(['clone_suspected']);
    } finally {
      await beside.close();
    }
  });

  it('is written down by the next heartbeat when the service ended before it could', async () => {
    const node = await admittedNode(plane);
    const agent = await node.api();
    const write = (agentInstanceId: string, sequence: number) =>
      plane.app.get(HeartbeatsRepository).write([
        {
          clusterId: node.clusterId,
          nodeId: node.nodeId,
          agentVersion: '0.1.0',
          agentInstanceId,
          sequence,
        },
      ]);
    await write(A, 1);
    await write(B, 1);
    expect(await write(A, 2)).toMatchObject([{ cloneSign: 2 }]);
    expect(await incidents(node)).toEqual([]);
    await beat(agent, A, 3);
    expect(await incidents(node)).toMatchObject([{ after: { sign: 'instances_alternate' } }]);
    expect(await write(A, 4)).toMatchObject([{ cloneSign: null }]);
  });

  it('is seen when the key was changed meanwhile', async () => {
    const node = await admittedNode(plane);
    const agent = await node.api();
    await beat(agent, A, 1);
    await beat(agent, B, 1);
    const key = await freshKey();
    created(await agent.post('/node-agents/me/identity/rotate', await rotationBody(node, key)));
    await beat(await node.withKey(key).api(), A, 2);
    expect((await view(node)).riskyStates).toEqual(['clone_suspected']);
  });

  describe('once an operator has looked at it', () => {
    it('is no risky state any more, and one again when it goes on', async () => {
      const { node, agent } = await suspected();
      const answer = await acknowledge(node);
      expect([answer.status, answer.body]).toEqual([
        200,
        {
          clusterId: node.clusterId,
          nodeId: node.nodeId,
          kind: 'clone_suspected',
          since: expect.stringMatching(/Z$/),
          acknowledgedAt: expect.stringMatching(/Z$/),
          acknowledgedBy: { type: 'bootstrap', id: 'bootstrap' },
        },
      ]);
      expect(await view(node)).toMatchObject({ health: 'online', riskyStates: [] });
      const { items } = (
        await api.get(`/audit/events?resourceId=${node.nodeId}&action=node.risky_state_acknowledged`)
      ).body;
      expect(items).toMatchObject([
        { reason: 'The copy is gone.', before: { kind: 'clone_suspected', since: answer.body.since } },
      ]);
      expect((await acknowledge(node)).body).toEqual(answer.body);
      await beat(agent, A, 4);
      expect((await view(node)).riskyStates).toEqual([]);
      await beat(agent, B, 2);
      expect((await view(node)).riskyStates).toEqual(['clone_suspected']);
      expect(await incidents(node)).toHaveLength(2);
    });

    it('of ten at once is acknowledged by one', async () => {
      const { node } = await suspected();
      const answers = await Promise.all(Array.from({ length: 10 }, () => acknowledge(node)));
      expect(new Set(answers.map((answer) => JSON.stringify(answer.body))).size).toBe(1);
      const { items } = (
        await api.get(`/audit/events?resourceId=${node.nodeId}&action=node.risky_state_acknowledged`)
      ).body;
      expect(items).toHaveLength(1);
    });

    it('stays one after a dry run', async () => {
      const { node } = await suspected();
      const path = `${at(node)}/risky-states/clone_suspected/acknowledge?dryRun=true`;
      expect((await api.post(path, { reason: 'Tried.' })).body).toMatchObject({
        dryRun: true,
        affectedNodes: 0,
      });
      expect((await view(node)).riskyStates).toEqual(['clone_suspected']);
    });

    it('needs the permission, a reason, and something to look at', async () => {
      const { node } = await suspected();
      const token = async (permissions: string[], clusterId: string) => {
        const body = { name: unique('token'), permissions, clusterId };
        return api.as((created(await api.post('/api-tokens', body)) as { token: string }).token);
      };
      const elsewhere = (await given(plane).cluster()).id;
      expect((await acknowledge(node, await token(['nodes.read'], node.clusterId))).status).toBe(403);
      expect((await acknowledge(node, await token(['risky_states.acknowledge'], elsewhere))).status).toBe(
        404,
      );
      const path = `${at(node)}/risky-states`;
      const bare = await api.post(`${path}/clone_suspected/acknowledge`, {});
      expect([bare.status, bare.body.errors[0].pointer]).toEqual([422, '#/reason']);
      for (const kind of ['certificate_expired', 'unheard_of', '%00', 'x'.repeat(65)])
        expect((await api.post(`${path}/${kind}/acknowledge`, { reason: 'x' })).status).toBe(404);
      const calm = await admittedNode(plane);
      expect((await acknowledge(calm)).status).toBe(404);
    });
  });

  it('is told by the database as by the rule, over any history', async () => {
    const instances = [null, A, B, randomUUID()] as const;
    const step = fc.record({ instance: fc.constantFrom(...instances), sequence: fc.nat(5) });
    const nodes = await several(25, () => admittedNode(plane));
    const histories = fc.sample(fc.array(step, { minLength: 1, maxLength: 16 }), nodes.length);
    const repository = plane.app.get(HeartbeatsRepository);
    for (const [index, node] of nodes.entries()) {
      let last: LastBeat | null = null;
      let generation: number | null = null;
      for (const [turn, { instance, sequence }] of (histories[index] ?? []).entries()) {
        const judged: ReturnType<typeof judgeBeat> = judgeBeat(last, { instanceId: instance, sequence });
        const [row] = await repository.write([
          {
            clusterId: node.clusterId,
            nodeId: node.nodeId,
            agentVersion: '0.1.0',
            sequence,
            appliedGeneration: turn,
            ...(instance !== null && { agentInstanceId: instance }),
          },
        ]);
        last = judged.next;
        if (judged.isNews) generation = turn;
        const [stored] = await plane.database.query(
          `UPDATE node_liveness SET clone_sign = NULL WHERE cluster_id = $1 AND node_id = $2
           RETURNING agent_instance_id AS "instanceId", sequence::int, previous_instance_id AS "previousId",
                     previous_sequence::int AS "previousSequence", applied_generation::int AS generation`,
          [node.clusterId, node.nodeId],
        );
        expect([row?.cloneSign == null ? null : CLONE_SIGNS[row.cloneSign], row?.isNews, stored]).toEqual([
          judged.sign,
          judged.isNews,
          {
            instanceId: last.instanceId,
            sequence: last.sequence,
            previousId: last.previous?.instanceId ?? null,
            previousSequence: last.previous?.sequence ?? null,
            generation,
          },
        ]);
      }
    }
  });

  it('costs heartbeats no index: what they change stands in none', async () => {
    const rows = await plane.database.query<{ columns: string[] }>(
      `SELECT array_agg(a.attname::text ORDER BY a.attnum) AS columns FROM pg_index AS i
         JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
        WHERE i.indrelid = 'node_liveness'::regclass GROUP BY i.indexrelid`,
    );
    expect(rows.map(({ columns }) => columns)).toEqual([['cluster_id', 'node_id']]);
  });
});
