import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from '@jest/globals';
import { loadConfig } from '../config/config.js';
import { Database } from './database.js';
import { isUnavailable } from './postgres-errors.js';

/** A message of Postgres's protocol: its letter, its length, its bytes. */
function message(letter: string, bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length + 4);
  return Buffer.concat([Buffer.from(letter), length, bytes]);
}

const LET_IN = message('R', Buffer.alloc(4));
const READY = message('Z', Buffer.from('I'));
const STOPPING = message('E', Buffer.from('SFATAL\0C57P01\0Mterminating connection\0\0'));

/** A server that lets everybody in and ends the session in the same packet, as one does that is just being stopped. */
async function stoppingServer() {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(Buffer.concat([LET_IN, READY, STOPPING])));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { url: `postgres://a:b@127.0.0.1:${port}/c`, close: () => server.close() };
}

it('a connection that ends as soon as it is made is told to who wanted it, and ends nothing else', async () => {
  const server = await stoppingServer();
  const urls = { appUrl: server.url, directUrl: server.url, ownerUrl: server.url };
  const runtime = {
    config: loadConfig({}),
    database: urls,
    masterKey: '',
    bootstrapToken: null,
    version: '',
  };
  const database = new Database(runtime);
  try {
    const client = await database.pool.connect();
    const error = await client.query('SELECT 1').catch((thrown: unknown) => thrown);
    client.release(true);
    expect(isUnavailable(error)).toBe(true);
    // What nobody listened to would have ended this process by now.
    await turn();
  } finally {
    await database.onApplicationShutdown();
    server.close();
  }
});
