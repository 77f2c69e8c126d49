/** The chapters of the document, in its order. A controller's `@ApiTags` names one of them. */
export const TAGS: Readonly<Record<string, string>> = {
  Service: 'Where the service is, whether it is well, and what its problem codes mean.',
  Access: 'Who is calling, what they may do, and API tokens for scripts.',
  Audit: 'Who did what, when and from where; written in the transaction of each change.',
  Events: 'The stream of what changes.',
  Overview: 'How clusters fare at a glance.',
  Clusters: 'Clusters of nodes, and the policy of each.',
  Authority: 'Whether a cluster may hand out trust, and in which term.',
  Trust: 'Public keys by which third parties check what the service signs.',
  Enrollment: 'Join tokens, and the requests of hosts that want to become nodes.',
  Nodes: 'Memberships of nodes in clusters, with their health.',
  'Physical nodes': 'Hosts across all clusters, with each of their memberships.',
  'Node groups': 'A tree by which the nodes of a cluster are arranged.',
  Roles: 'What nodes may do: the catalogue of roles, and who was given which.',
  'VPN connections': 'Tunnels that one node at a time runs: who may, what they reach, and who has the lease.',
  Workloads: 'What is to run on nodes, beside what their agents report.',
  Releases: 'Products and their signed releases, the keys that sign them, their files, and channels.',
  Rollouts: 'Versions on their way to nodes, wave by wave, and why each step was taken.',
  Snapshots: 'The signed desired state that each node works by.',
  'Node agents': 'What agents call: enrollment, tokens, heartbeats and snapshots.',
};

/** The chapter's place. @throws Error for a tag without a description */
export function tagPosition(name: string): number {
  const position = Object.keys(TAGS).indexOf(name);
  if (position === -1) throw new Error(`describe the tag ${name} in tags.ts`);
  return position;
}
