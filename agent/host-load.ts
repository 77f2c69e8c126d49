import os from 'node:os';

/** What a heartbeat says about the host; `uptimeSeconds` is the host's, not the agent's. */
export interface HostLoad {
  uptimeSeconds: number;
  load: { one: number; five: number; fifteen: number };
  memory: { totalBytes: number; usedBytes: number };
}

/** Reads the host's figures now. On Linux memory that the kernel can give back at once counts as free. */
export function hostLoad(): HostLoad {
  const [one = 0, five = 0, fifteen = 0] = os.loadavg();
  const totalBytes = os.totalmem();
  return {
    uptimeSeconds: Math.floor(os.uptime()),
    load: { one, five, fifteen },
    memory: { totalBytes, usedBytes: Math.max(0, totalBytes - os.freemem()) },
  };
}
