import type { ControlPlane } from './control-plane.js';
import { until } from './until.js';

/** Waits until an instance holds this many polls. */
export async function heldPolls(at: ControlPlane, count: number): Promise<void> {
  const line = new RegExp(`^fabric_held_polls ${count}$`, 'm');
  await until(
    async () => (await at.api.get('//metrics')).body as string,
    (metrics) => line.test(metrics),
  );
}
