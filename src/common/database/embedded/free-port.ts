import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/** Below every system's range of outgoing ports, so that no connection takes it between two starts. */
const RANGE = { from: 20_000, to: 30_000 };
const MAX_ATTEMPTS = 100;

/** Whether nothing listens on that port of 127.0.0.1 at this moment. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    // Without `exclusive` a cluster worker would ask its primary for the port.
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** A random port of 127.0.0.1 that is free at this moment. */
export async function findFreePort(): Promise<number> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    const port = randomInt(RANGE.from, RANGE.to);
    if (await isPortFree(port)) return port;
  }
  throw new Error(`No free port on 127.0.0.1 between ${RANGE.from} and ${RANGE.to}.`);
}
