import { phaseMs } from '../../common/waiting/phase.js';

/**
 * In how many seconds a node is to beat again, by the clock `now` of its last heartbeat: at its own turn within the
 * interval, so that nodes which came together, after an outage or a roll-out, are spread over it after one interval.
 * Never below half an interval, so that the turn costs no heartbeat more, and below one and a half.
 */
export function nextBeatSeconds(nodeId: string, intervalSeconds: number, now: Date): number {
  const intervalMs = intervalSeconds * 1000;
  const earliest = now.getTime() + intervalMs / 2;
  const phase = phaseMs(nodeId, intervalMs);
  const turn = Math.ceil((earliest - phase) / intervalMs) * intervalMs + phase;
  return Math.max(1, Math.round((turn - now.getTime()) / 1000));
}
