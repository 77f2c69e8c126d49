import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { ApiClient } from './api-client.js';
import { type HostDescription, HostReport } from './host-report.js';
import { Log } from './log.js';
import type { NodeApi } from './node-api.js';
import { ServerPresence } from './server-presence.js';

const wish = { nodeName: 'edge-1', requestedRoles: [], discover: true, capabilities: [], facts: {} };
const host = (...capabilities: string[]): HostDescription => ({ facts: { os: 'linux' }, capabilities });

let server: Server;
let reports: unknown[];
let isAway: boolean;
let stop: AbortController;
beforeEach(async () => {
  reports = [];
  isAway = false;
  stop = new AbortController();
  server = createServer((req, res) => {
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of req) chunks.push(chunk as Buffer);
      if (isAway) return void req.socket.destroy();
      reports.push([req.method, req.url, JSON.parse(Buffer.concat(chunks).toString('utf8'))]);
      res.writeHead(204).end();
    })();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  stop.abort();
  server.closeAllConnections();
  server.close();
});

it('tells at the start, on each change, again what did not arrive, and nothing twice', async () => {
  const seen = [host('a'), host('a'), host('a', 'b'), host('a', 'b'), host('a'), host('a')];
  let looks = 0;
  const describe = async (): Promise<HostDescription> => {
    looks += 1;
    isAway = looks === 3; // the change to [a, b] is told in vain first
    if (looks === seen.length) stop.abort();
    return seen[looks - 1] ?? host();
  };
  const { port } = server.address() as AddressInfo;
  const api = new ApiClient(`http://127.0.0.1:${port}`, new AbortController().signal);
  const log = new Log('error', () => undefined);
  const context = { log, presence: new ServerPresence(log), stop: stop.signal };
  // Authentication is the business of the node's API, which has its own tests.
  await new HostReport(api as unknown as NodeApi, wish, context, describe, 0.001).run();
  const told = (capabilities: string[]) => ['PUT', '/capabilities', { facts: { os: 'linux' }, capabilities }];
  expect(reports).toEqual([told(['a']), told(['a', 'b']), told(['a'])]);
});
