import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';

/** How often connections are looked for, while the service stops, that have nothing more to answer. */
const LOOK_MS = 50;
/** Until a connection counts as one on which nothing comes: a first request may be on its way for as long. */
const SILENCE_MS = 1_000;

/**
 * Closes connections as soon as they have had their last answer while the service stops. Closing the server ends only
 * those that are idle at that moment; one that was busy then and is kept alive would hold up the end until it times out.
 * So would one on which nothing has ever come, as clients open them ahead of need: to Node it waits for its first request.
 */
export function closeIdleConnectionsAtTheEnd(app: FastifyInstance): void {
  const endSilentOnes = watchConnections(app.server);
  app.addHook('preClose', (done) => {
    const { server } = app;
    const timer = setInterval(() => {
      server.closeIdleConnections();
      endSilentOnes();
    }, LOOK_MS);
    server.once('close', () => clearInterval(timer));
    // A server that never listened never closes.
    if (!server.listening) clearInterval(timer);
    done();
  });
}

/** Returns what ends the connections on which nothing has come since they were made. */
function watchConnections(server: Server): () => void {
  const madeAt = new Map<Socket, number>();
  server.on('connection', (socket) => {
    madeAt.set(socket, performance.now());
    socket.once('close', () => madeAt.delete(socket));
  });
  return () => {
    const latest = performance.now() - SILENCE_MS;
    for (const [socket, at] of madeAt) if (at <= latest && socket.bytesRead === 0) socket.destroy();
  };
}
