import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created } from '../support/given.js';
import { openSecondSession } from '../support/second-session.js';
import { admittedNode } from '../support/test-node.js';

let controlPlane: ControlPlane;
beforeAll(async () => {
  controlPlane = await startControlPlane();
});
afterAll(() => controlPlane?.close());

describe('a change that concerns a whole cluster', () => {
  it('leaves a node to the transaction that has numbered it meanwhile', async () => {
    const { clusterId, nodeId } = await admittedNode(controlPlane);
    created(
      await controlPlane.api.post(`/clusters/${clusterId}/role-assignments`, { nodeId, role: 'core-mesh' }),
    );
    const session = await openSecondSession(controlPlane);
    try {
      // Stands for a change of this node alone that is not committed yet when the policy is.
      await session.query('BEGIN');
      await session.query(`UPDATE cluster_memberships SET content_hash = '\\x0102' WHERE node_id = $1`, [
        nodeId,
      ]);
      const policy = { capabilityPolicy: { denied: ['can_route_mesh'] } };
      const pending = controlPlane.api.put(`/clusters/${clusterId}/policy`, policy);
      await session.untilWaiting();
      await session.query('COMMIT');
      expect((await pending).status).toBe(200);
      const rows = await session.query<{ hash: string }>(
        `SELECT encode(content_hash, 'hex') AS hash FROM cluster_memberships WHERE node_id = $1`,
        [nodeId],
      );
      expect(rows).toEqual([{ hash: '0102' }]);
      // Whatever comes next differs from that, so that no change of the content goes without a number.
      const generation = async () =>
        (await controlPlane.api.get(`/clusters/${clusterId}/nodes/${nodeId}/snapshot`)).body.generation;
      const before = await generation();
      created(await controlPlane.api.patch(`/clusters/${clusterId}/nodes/${nodeId}`, { labels: { a: 'b' } }));
      expect(await generation()).toBe(before + 1);
    } finally {
      await session.end();
    }
  });
});
