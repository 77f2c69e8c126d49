import type { AgentSession } from '../agent-session.js';
import type { ApiClient } from '../api-client.js';
import type { HeartbeatPart } from '../heartbeat-part.js';
import { KeyRotation } from '../identity/key-rotation.js';
import { RotationRequests } from '../identity/rotation-requests.js';
import type { LoopContext } from '../loop.js';
import type { NodeApi } from '../node-api.js';
import type { NodeIdentity } from '../token-source.js';
import { CertificateKeeper } from './certificate-keeper.js';
import type { CertificateWish } from './renewal-plan.js';
import { TrustFollower } from './trust-follower.js';
import { TrustStore } from './trust-store.js';

/** What the parts below work with. */
export interface TrustSurroundings {
  api: ApiClient;
  nodeApi: NodeApi;
  identity: NodeIdentity;
  /** The node's membership as its snapshot has it; null before the first. */
  membership: () => string | null;
  context: LoopContext;
  options: { certificate: CertificateWish; rotateKeyAfterDays: number | null };
}

/** Everything by which the node is trusted and trusts: its certificate, the cluster's roots and lists, its own key. */
export async function openTrust(
  { store, clock, log }: AgentSession,
  { api, nodeApi, identity, membership, context, options }: TrustSurroundings,
): Promise<{ store: TrustStore; parts: HeartbeatPart[]; start: () => Promise<void>[] }> {
  const { nodeId, clusterId, audience, keys } = identity;
  const trust = await TrustStore.open(store.directory, { nodeId, clusterId }, log);
  const { certificate: wish, rotateKeyAfterDays } = options;
  const certificates = new CertificateKeeper(nodeApi, identity, trust, clock, context, wish, membership);
  const follower = new TrustFollower(api, clusterId, trust, clock, context, () => certificates.lookAgain());
  const node = { nodeId, clusterId, audience };
  const requests = new RotationRequests(store.directory);
  const rotation = new KeyRotation(nodeApi, node, keys, requests, store, clock, context, rotateKeyAfterDays);
  return {
    store: trust,
    parts: [certificates, follower],
    start: () => [certificates.run(), follower.run(), rotation.run()],
  };
}
