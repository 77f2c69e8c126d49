import type { FastifyInstance } from 'fastify';

/** How often connections are looked for, while the service stops, that have nothing more to answer. */
const LOOK_MS = 50;

/**
 * Closes connections as soon as they have had their last answer while the service stops. Closing the server ends only
 * those that are idle at that moment; one that was busy then and is kept alive would hold up the end until it times out.
 */
export function closeIdleConnectionsAtTheEnd(app: FastifyInstance): void {
  app.addHook('preClose', (done) => {
    const { server } = app;
    const timer = setInterval(() => server.closeIdleConnections(), LOOK_MS);
    server.once('close', () => clearInterval(timer));
    // A server that never listened never closes.
    if (!server.listening) clearInterval(timer);
    done();
  });
}
