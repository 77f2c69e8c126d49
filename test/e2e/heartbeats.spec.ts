import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { HealthWatch } from '../../src/modules/nodes/health-watch.js';
import { nextBeatSeconds } from '../../src/modules/nodes/heartbeat-pace.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { given, several } from '../support/given.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

describe('heartbeats', () => {
  let plane: ControlPlane;
  beforeAll(async () => {
    plane = await startControlPlane();
  });
  afterAll(() => plane.close());

  const view = async (node: TestNode) =>
    (await plane.api.get(`/clusters/${node.clusterId}/nodes/${node.nodeId}`)).body;

  it('make an unknown node an online one and say what it should know', async () => {
    const node = await admittedNode(plane);
    expect(await view(node)).toMatchObject({ health: 'unknown', lastSeenAt: null, appliedGeneration: null });
    const answer = await (await node.api()).post(
      '/node-agents/me/heartbeat',
      node.heartbeat({ appliedGeneration: 2 }),
    );
    expect(answer.status).toBe(200);
    const seen = await view(node);
    expect(answer.body).toEqual({
      serverTime: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/),
      nextHeartbeatSeconds: nextBeatSeconds(node.nodeId, 30, new Date(answer.body.serverTime)),
      snapshotGeneration: seen.snapshotGeneration,
      authorityTerm: 1,
      authorityHolder: 'control-plane',
      revocationEpoch: 0,
      trustBundle: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(seen).toMatchObject({
      health: 'online',
      lastSeenAt: answer.body.serverTime,
      appliedGeneration: 2,
    });
  });

  it('are durable when answered, for two hundred nodes at once', async () => {
    const cluster = await given(plane).cluster();
    const nodes = await several(20, () => admittedNode(plane, cluster.id));
    const apis = await Promise.all(nodes.map((node) => node.api()));
    const beats = Array.from({ length: 200 }, (_, index) => {
      const at = index % nodes.length;
      return apis[at]?.post('/node-agents/me/heartbeat', nodes[at]?.heartbeat());
    });
    const answers = await Promise.all(beats);
    expect(new Set(answers.map((answer) => answer?.status))).toEqual(new Set([200]));
    const rows = await plane.database.query<{ sequence: string }>(
      'SELECT sequence FROM node_liveness WHERE cluster_id = $1',
      [cluster.id],
    );
    expect(rows.map((row) => Number(row.sequence))).toEqual(Array.from({ length: 20 }, () => 10));
  });

  it('that arrive late count as a sign of life and change nothing else', async () => {
    const node = await admittedNode(plane);
    const api = await node.api();
    const [first, later] = [
      node.heartbeat({ appliedGeneration: 1 }),
      node.heartbeat({ appliedGeneration: 2 }),
    ];
    await api.post('/node-agents/me/heartbeat', later);
    await api.post('/node-agents/me/heartbeat', first);
    expect((await view(node)).appliedGeneration).toBe(2);
  });

  it('with members that this version does not know are taken, and the members counted', async () => {
    const node = await admittedNode(plane);
    const answer = await (await node.api()).post(
      '/node-agents/me/heartbeat',
      node.heartbeat({ fromTheFuture: { x: 1 } }),
    );
    expect(answer.status).toBe(200);
    const metrics = (await plane.api.get('//metrics')).body as string;
    expect(metrics).toMatch(/fabric_ignored_body_members_total\{operation="sendHeartbeat"\} [1-9]/);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['a negative sequence', { sequence: -1 }, '#/sequence'],
    ['a version of 65 characters', { agentVersion: 'x'.repeat(65) }, '#/agentVersion'],
    ['a load that is a text', { load: { one: 'high', five: 1, fifteen: 1 } }, '#/load/one'],
  ])('with %s are refused and change nothing', async (_, more, pointer) => {
    const node = await admittedNode(plane);
    const answer = await (await node.api()).post('/node-agents/me/heartbeat', node.heartbeat(more));
    expect([answer.status, answer.body.errors[0].pointer]).toEqual([422, pointer]);
    expect((await view(node)).health).toBe('unknown');
  });

  it('of a disabled node are taken', async () => {
    const node = await admittedNode(plane);
    await plane.api.post(`/clusters/${node.clusterId}/nodes/${node.nodeId}/disable`);
    expect((await (await node.api()).post('/node-agents/me/heartbeat', node.heartbeat())).status).toBe(200);
  });

  it.each([
    // Time goes on between the heartbeat and the look: on a busy machine, some seconds of the thirty.
    [2.5, 'online'],
    [3.01, 'stale'],
    [9.5, 'stale'],
    [10.01, 'offline'],
  ])('missed %d times make a node %s, without any worker', async (missed, health) => {
    const node = await admittedNode(plane);
    await (await node.api()).post('/node-agents/me/heartbeat', node.heartbeat());
    await age(node, missed * 30);
    expect((await view(node)).health).toBe(health);
    const list = await plane.api.get(`/clusters/${node.clusterId}/nodes?health=${health}`);
    expect(list.body.items).toHaveLength(1);
    const summary = await plane.api.get(`/clusters/${node.clusterId}/summary`);
    expect(summary.body.nodes[health]).toBe(1);
  });

  it('keep thresholds from the policy of the cluster', async () => {
    const node = await admittedNode(plane);
    await (await node.api()).post('/node-agents/me/heartbeat', node.heartbeat());
    await age(node, 5);
    await plane.api.put(`/clusters/${node.clusterId}/policy`, {
      heartbeatSeconds: 1,
      staleAfterMissed: 2,
      offlineAfterMissed: 4,
    });
    expect((await view(node)).health).toBe('offline');
  });

  it('that stop are written down by the worker, once each, also with two of them', async () => {
    const node = await admittedNode(plane);
    const watch = plane.app.get(HealthWatch);
    await (await node.api()).post('/node-agents/me/heartbeat', node.heartbeat());
    await watch.sweep();
    await age(node, 1_000);
    await Promise.all([watch.sweep(), watch.sweep()]);
    await watch.sweep();
    const { body } = await plane.api.get(
      `/audit/events?resourceId=${node.nodeId}&action=node.health_changed`,
    );
    expect(body.items.map((event: { before: object; after: object }) => [event.before, event.after])).toEqual(
      [
        [{ health: 'online' }, { health: 'offline', riskyStates: [] }],
        [{ health: null }, { health: 'online', riskyStates: [] }],
      ],
    );
  });

  const age = (node: TestNode, seconds: number) =>
    plane.database.query(
      `UPDATE node_liveness SET last_seen_at = last_seen_at - make_interval(secs => $1) WHERE cluster_id = $2 AND node_id = $3`,
      [seconds, node.clusterId, node.nodeId],
    );
});
