import { randomUUID } from 'node:crypto';
import { calculateJwkThumbprint } from 'jose';
import type { Answer } from './api.js';
import type { ControlPlane } from './control-plane.js';
import { created, given } from './given.js';
import { type NodeInput, TestNode } from './test-node.js';

/** A host that is a node already and asks to join another cluster, with a key of its own there. */
export interface SecondApplication {
  /** The host as it will be in that cluster. */
  other: TestNode;
  /** Approves it as another membership of the same host, with a proof by the host's key unless told otherwise. */
  approve(input?: Record<string, unknown>): Promise<Answer>;
  /** A proof by a key that the host has, or any other. */
  proof(claims?: Record<string, unknown>, signer?: Pick<TestNode, 'sign'>): Promise<string>;
}

/** Lets the host of `node` ask to join another cluster. */
export async function applyAlsoTo(
  plane: ControlPlane,
  node: TestNode,
  clusterId: string,
  input: NodeInput = {},
): Promise<SecondApplication> {
  const { token } = await given(plane).joinToken(clusterId);
  const other = await TestNode.make(plane.url, { facts: { machineId: `machine-${node.name}` }, ...input });
  created(await other.enroll(token));
  other.nodeId = node.nodeId;
  const proof: SecondApplication['proof'] = async (claims = {}, signer = node) =>
    signer.sign({
      aud: plane.url,
      iat: Math.floor(Date.now() / 1000),
      jti: randomUUID(),
      joinRequestId: other.joinRequestId,
      keyThumbprint: await calculateJwkThumbprint(other.publicKey),
      ...claims,
    });
  const path = `/clusters/${clusterId}/join-requests/${other.joinRequestId}/approve`;
  const approve = async (body?: Record<string, unknown>) =>
    plane.api.post(path, { existingNodeId: node.nodeId, ...(body ?? { hostProof: await proof() }) });
  return { other, approve, proof };
}

/** The host of `node` as a member of another cluster too. */
export async function alsoIn(plane: ControlPlane, node: TestNode, clusterId: string): Promise<TestNode> {
  const { other, approve } = await applyAlsoTo(plane, node, clusterId);
  created(await approve());
  return other;
}
