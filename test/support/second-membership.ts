import { calculateJwkThumbprint } from 'jose';
import { systemActor } from '../../src/common/request/actor.js';
import { Transactor } from '../../src/common/transaction/transactor.js';
import { MembershipsService } from '../../src/modules/nodes/memberships.service.js';
import type { ControlPlane } from './control-plane.js';
import { TestNode } from './test-node.js';

/** The host of `node` as a member of another cluster too, with a key of its own there. */
export async function alsoIn(plane: ControlPlane, node: TestNode, clusterId: string): Promise<TestNode> {
  const other = await TestNode.make(plane.url);
  other.nodeId = node.nodeId;
  other.clusterId = clusterId;
  const member = {
    nodeId: node.nodeId,
    isNewNode: false,
    clusterId,
    name: other.name,
    groupId: null,
    labels: {},
    publicKey: other.publicKey,
    keyThumbprint: await calculateJwkThumbprint(other.publicKey),
    capabilities: ['can_route_mesh'],
    facts: {},
    agentVersion: '0.1.0',
    os: 'linux',
    arch: 'x64',
    machineId: null,
  };
  await plane.app.get(Transactor).observe(systemActor('test'), async (tx) => {
    await plane.app.get(MembershipsService).admit(tx, member);
    return { result: undefined };
  });
  return other;
}
