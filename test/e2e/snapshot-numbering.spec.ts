import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, unique } from '../support/given.js';
import { openSecondSession } from '../support/second-session.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

let controlPlane: ControlPlane;
beforeAll(async () => {
  // Without workers, who would be found waiting for the tables that a test locks.
  controlPlane = await startControlPlane({ config: { role: 'api' } });
});
afterAll(() => controlPlane?.close());

const nodePath = ({ clusterId, nodeId }: TestNode) => `/clusters/${clusterId}/nodes/${nodeId}`;
const generationOf = async (node: TestNode) =>
  (await controlPlane.api.get(`${nodePath(node)}/snapshot`)).body.generation as number;
const putPolicy = (node: TestNode, policy: object) =>
  controlPlane.api.put(`/clusters/${node.clusterId}/policy`, policy);
const DENIED = { capabilityPolicy: { denied: ['can_route_mesh'] } };

/** A node with the role `core-mesh`, and the path of the assignment. */
async function meshNode(): Promise<{ node: TestNode; assignment: string }> {
  const node = await admittedNode(controlPlane);
  const assignments = `/clusters/${node.clusterId}/role-assignments`;
  const body = { nodeId: node.nodeId, role: 'core-mesh' };
  const { id } = created(await controlPlane.api.post(assignments, body)) as { id: string };
  return { node, assignment: `${assignments}/${id}` };
}

describe('a change of a whole cluster', () => {
  it('and a change of one node that do not see each other leave no content without a number', async () => {
    const { node, assignment } = await meshNode();
    created(await controlPlane.api.post(`${assignment}/disable`));
    created(await putPolicy(node, DENIED));
    const api = await node.api();
    const session = await openSecondSession(controlPlane);
    try {
      // Keeps the change of the node from its commit, after it has settled: under this policy it changes nothing.
      await session.query('BEGIN');
      await session.query('LOCK TABLE idempotency_keys IN EXCLUSIVE MODE');
      const enabling = controlPlane.api.post(`${assignment}/enable`, undefined, { 'idempotency-key': 'k' });
      await session.untilWaiting(1);
      const permitting = putPolicy(node, {});
      await Promise.race([permitting, session.untilWaiting(2)]);
      const etag = (await api.get('/node-agents/me/snapshot')).headers.get('etag') ?? '';
      await session.query('COMMIT');
      expect([(await enabling).status, (await permitting).status]).toEqual([200, 200]);
      const after = await api.get('/node-agents/me/snapshot', { 'if-none-match': etag });
      expect(after.status).toBe(200);
      const payload = JSON.parse(Buffer.from(after.body.jws.split('.')[1], 'base64url').toString());
      expect(payload.roles).toEqual([expect.objectContaining({ role: 'core-mesh' })]);
    } finally {
      await session.end();
    }
  });

  it('hides no later change of a node that leads back to what the node had before it', async () => {
    const { node, assignment } = await meshNode();
    created(await putPolicy(node, DENIED));
    created(await controlPlane.api.patch(nodePath(node), { name: unique('renamed') }));
    created(await putPolicy(node, {}));
    const before = await generationOf(node);
    created(await controlPlane.api.post(`${assignment}/disable`));
    expect(await generationOf(node)).toBe(before + 1);
  });

  it('leaves later changes exact: what changes no content grows nothing', async () => {
    const { node, assignment } = await meshNode();
    const after: number[] = [];
    for (const policy of [DENIED, {}, { degradedGraceSeconds: 60 }]) {
      created(await putPolicy(node, policy));
      const before = await generationOf(node);
      created(await controlPlane.api.patch(nodePath(node), { labels: { policy: unique('p') } }));
      created(await controlPlane.api.patch(nodePath(node), { labels: { policy: unique('p') } }));
      after.push((await generationOf(node)) - before);
    }
    expect(after).toEqual([0, 0, 0]);
    const before = await generationOf(node);
    created(await controlPlane.api.post(`${assignment}/disable`));
    created(await controlPlane.api.post(`${assignment}/enable`));
    expect(await generationOf(node)).toBe(before + 2);
  });

  it('is kept waiting by no plan, and keeps no plan waiting', async () => {
    const { node } = await meshNode();
    const session = await openSecondSession(controlPlane);
    try {
      await session.query('BEGIN');
      await session.query('SELECT 1 FROM cluster_memberships WHERE node_id = $1 FOR NO KEY UPDATE', [
        node.nodeId,
      ]);
      await session.query('SELECT 1 FROM node_generations WHERE node_id = $1 FOR NO KEY UPDATE', [
        node.nodeId,
      ]);
      await session.query(`SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, [
        `snapshots:${node.clusterId}`,
      ]);
      const answer = await controlPlane.api.put(`/clusters/${node.clusterId}/policy?dryRun=true`, DENIED);
      expect([answer.status, answer.body.affectedNodes]).toEqual([200, 1]);
    } finally {
      await session.end();
    }
  });
});
