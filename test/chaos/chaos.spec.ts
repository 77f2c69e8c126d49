import { expect, it } from '@jest/globals';
import { runChaos } from './run-chaos.js';

const PATIENCE_MS = 180_000;
const CONNECTIONS = 3;

it(
  'leases hold under kills, pauses, lost messages and wrong clocks, and only fencing stops what is late',
  async () => {
    const result = await runChaos({
      seed: 20_261_128,
      durationMs: 30_000,
      agents: 4,
      connections: CONNECTIONS,
      leaseTtlSeconds: 5,
      failOver: false,
      historyFile: null,
      log: () => undefined,
    });
    expect(result.violations).toEqual([]);
    expect(result.fenced).toEqual([]);
    expect(result.recovered).toBe(CONNECTIONS);
    // Otherwise nothing was tried.
    expect(result.operations['acquire ok']).toBeGreaterThan(CONNECTIONS);
    expect(result.operations['renew ok']).toBeGreaterThan(10);
    expect(result.acts).toBeGreaterThan(100);
  },
  PATIENCE_MS,
);
