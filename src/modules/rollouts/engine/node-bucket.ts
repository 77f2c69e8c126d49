import { hash } from 'node:crypto';

const BUCKETS = 10_000;

/** Where a node stands in the order of a rollout. By a salt of each rollout, so that not always the same go first. */
export function nodeBucket(salt: string, nodeId: string): number {
  const digest = hash('sha256', salt + nodeId, 'buffer');
  return Number(digest.readBigUInt64BE(0) % BigInt(BUCKETS));
}
