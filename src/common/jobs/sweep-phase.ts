import { createHash } from 'node:crypto';

/**
 * When within its interval a sweep comes, in milliseconds, tied to the clock: processes that register it at the same time
 * mean the same tick. Each has its own, the same in every process and version: at full seconds all of them would come at
 * once, and whoever asks for something just then would wait behind them all.
 */
export function sweepPhaseMs(queue: string, name: string, everyMs: number): number {
  const spread = createHash('sha256').update(`${queue}/${name}`).digest().readUInt32BE();
  // Never 0: to BullMQ that is no offset, and the ticks would begin with whoever registers first.
  return 1 + (spread % Math.max(1, everyMs - 1));
}
