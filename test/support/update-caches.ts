import type { Answer, Api } from './api.js';
import type { ControlPlane } from './control-plane.js';
import { created } from './given.js';
import { admittedNode, type TestNode } from './test-node.js';

/** A member that may mirror what is approved. */
export interface TestCache {
  node: TestNode;
  api: Api;
  /** Of its role. */
  assignment: string;
  /** Says where it serves. */
  serve(url: string | null): Promise<Answer>;
}

export async function admittedCache(plane: ControlPlane, clusterId?: string): Promise<TestCache> {
  const capabilities = ['can_run_update_cache'];
  const node = await admittedNode(plane, clusterId, { capabilities });
  const cluster = `/clusters/${node.clusterId}`;
  const body = { nodeId: node.nodeId, role: 'update-cache' };
  const { id } = created(await plane.api.post(`${cluster}/role-assignments`, body)) as { id: string };
  const api = await node.api();
  const assignment = `${cluster}/role-assignments/${id}`;
  return { node, api, assignment, serve: (url) => api.put('/node-agents/me/update-cache', { url }) };
}
