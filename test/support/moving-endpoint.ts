import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** An address that leads to whichever server is the primary, as a failover of Postgres gives applications one. */
export interface MovingEndpoint {
  port: number;
  /** Cuts every connection; new ones go to another port from now on. */
  moveTo(port: number): void;
  close(): Promise<void>;
}

/** Opens one that leads to `port` on the loopback interface. */
export async function openMovingEndpoint(port: number): Promise<MovingEndpoint> {
  let target = port;
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // A broken connection is what this is for; both ends are closed by it.
    socket.on('error', () => undefined);
  };
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1');
    for (const socket of [client, upstream]) keep(socket);
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
    client.pipe(upstream).pipe(client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    moveTo: (other) => {
      target = other;
      cut();
    },
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      cut();
      await closed;
    },
  };
}
