import type { ControlPlane } from './control-plane.js';

const DEADLOCK = '40P01';

/** How many transactions of this instance have met others in a circle of locks since it started. */
export async function deadlocksOf({ api }: ControlPlane): Promise<number> {
  const metrics = (await api.get('//metrics')).body as string;
  const counted = new RegExp(`^fabric_transaction_conflicts_total\\{sqlstate="${DEADLOCK}"\\} (\\d+)$`, 'm');
  return Number(counted.exec(metrics)?.[1] ?? 0);
}
