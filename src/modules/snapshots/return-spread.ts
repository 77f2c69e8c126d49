import { phaseMs } from '../../common/waiting/phase.js';

/** How many agents a second may come back from an instance that stops, and how long the last of them waits at most. */
const RETURNS_PER_SECOND = 200;
const LONGEST_SECONDS = 30;

/** Over how many seconds so many agents come back. */
export function returnSeconds(agents: number): number {
  return Math.min(LONGEST_SECONDS, Math.max(1, Math.ceil(agents / RETURNS_PER_SECOND)));
}

/** When a node that is sent away may come back, from 1 to `spreadSeconds`: each at its own time, so that they do not
 *  fall upon another instance together. */
export function returnAfterSeconds(nodeId: string, spreadSeconds: number): number {
  return 1 + Math.floor(phaseMs(nodeId, spreadSeconds * 1000) / 1000);
}
