import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { type FastifyInstance, fastify } from 'fastify';
import { closeIdleConnectionsAtTheEnd } from './idle-connections.js';

/** Node itself ends a connection without a request after a minute. */
const WITHIN_MS = 30_000;

let app: FastifyInstance;
const clients: Socket[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await app.close();
});

/** Connects, once the server has taken the connection. */
async function connected(): Promise<Socket> {
  const taken = once(app.server, 'connection');
  const client = connect((app.server.address() as AddressInfo).port, '127.0.0.1');
  clients.push(client);
  await Promise.all([taken, once(client, 'connect')]);
  client.resume();
  return client;
}

async function serving(answer: () => Promise<string>): Promise<void> {
  app = fastify({ keepAliveTimeout: 600_000 });
  closeIdleConnectionsAtTheEnd(app);
  app.get('/', answer);
  await app.listen({ port: 0, host: '127.0.0.1' });
}

describe('a server that stops', () => {
  it(
    'waits for no connection on which nothing has come',
    async () => {
      await serving(async () => 'never asked');
      const gone = once(await connected(), 'close');
      await Promise.all([app.close(), gone]);
    },
    WITHIN_MS,
  );

  it(
    'answers what is under way, however long that takes, and ends its connection only then',
    async () => {
      let finish: ((text: string) => void) | undefined;
      await serving(() => new Promise((resolve) => (finish = resolve)));
      const silent = await connected();
      const client = await connected();
      const chunks: string[] = [];
      client.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
      client.write('GET / HTTP/1.1\r\nHost: here\r\n\r\n');
      while (finish === undefined) await new Promise(setImmediate);
      const [gone, silentIsGone] = [once(client, 'close'), once(silent, 'close')];
      const closed = app.close();
      await silentIsGone;
      finish('at last');
      await Promise.all([closed, gone]);
      expect(chunks.join('')).toContain('at last');
    },
    WITHIN_MS,
  );
});
