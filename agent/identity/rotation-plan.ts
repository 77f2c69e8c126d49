import type { AgentState } from '../agent-state.js';

const DAY_MS = 86_400_000;
/** Nodes that were enrolled together spread their rotations over this part of the age. */
const SPREAD = 1 / 20;
/** After a rotation that failed for good, the next one by age waits this long. */
const AFTER_FAILURE_MS = 3_600_000;

/**
 * When the identity key is to be replaced because of its age; null when it never is, or the node is not enrolled.
 * Where in the spread a key falls follows from its thumbprint, so that it is the same after every restart.
 */
export function rotationDueAt(state: AgentState, maxAgeDays: number | null): Date | null {
  const { enrollment, lastRotation, keyThumbprint } = state;
  if (maxAgeDays === null || enrollment.status !== 'enrolled') return null;
  const failedAt = lastRotation?.outcome === 'failed' ? Date.parse(lastRotation.at) : null;
  const since = lastRotation?.outcome === 'rotated' ? lastRotation.at : enrollment.enrolledAt;
  const spread = 1 + SPREAD * fractionOf(keyThumbprint);
  const dueAt = Date.parse(since) + maxAgeDays * DAY_MS * spread;
  return new Date(failedAt === null ? dueAt : Math.max(dueAt, failedAt + AFTER_FAILURE_MS));
}

/** From 0 up to 1, even over thumbprints. */
function fractionOf(thumbprint: string): number {
  return Buffer.from(thumbprint, 'base64url').readUInt32BE(0) / 2 ** 32;
}
