import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/** Below every system's range of outgoing ports, so that no connection takes it before it is used. */
const RANGE = { from: 20_000, to: 30_000 };
const MAX_ATTEMPTS = 100;

/** A port of the loopback interface that nobody uses just now. @returns {Promise<number>} */
export async function freePort() {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    const port = randomInt(RANGE.from, RANGE.to);
    if (await isFree(port)) return port;
  }
  throw new Error(`No free port on 127.0.0.1 between ${RANGE.from} and ${RANGE.to}.`);
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
