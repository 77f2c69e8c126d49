import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import type { HealthCheck } from '../snapshot-workload.js';
import { probe } from './health-probe.js';

const home = { cwd: null, env: { PATH: '/usr/bin:/bin', MOOD: 'well' } };
const timing = { intervalSeconds: 1, timeoutSeconds: 60, failureThreshold: 1 };
/** For what never answers. */
const brief = { timeoutSeconds: 0.3 };
const servers = new Set<Server | HttpServer>();
afterEach(() => {
  for (const server of servers) server.close();
  servers.clear();
});

async function listening<T extends Server | HttpServer>(server: T, host: string): Promise<number> {
  servers.add(server);
  server.listen(0, host);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

const ask = (check: HealthCheck, stop = new AbortController().signal): Promise<string | null> =>
  probe(check, home, stop);
const tcp = (port: number): HealthCheck => ({ type: 'tcp', port, ...timing });
const http = (port: number, path = '/'): HealthCheck => ({
  type: 'http',
  url: `http://127.0.0.1:${port}${path}`,
  ...timing,
});
const exec = (script: string): HealthCheck => ({ type: 'exec', command: ['sh', '-c', script], ...timing });

/** Of every process of the host. */
async function commands(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  return Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
}

describe('a tcp check', () => {
  it.each(['127.0.0.1', '::1'])('finds who listens on %s', async (host) => {
    expect(await ask(tcp(await listening(createServer(), host)))).toBeNull();
  });

  it('says that nobody listens', async () => {
    expect(await ask(tcp(1))).toMatch(/ECONNREFUSED/); // a port that was free a moment ago may be somebody's
  });
});

describe('an http check', () => {
  const answering = (status: number): HttpServer =>
    createHttpServer((_, response) =>
      response.writeHead(status, { location: '/elsewhere' }).end('x'.repeat(1_000)),
    );

  it.each([200, 204, 299])('takes %d for well', async (status) => {
    expect(await ask(http(await listening(answering(status), '127.0.0.1')))).toBeNull();
  });

  it.each([301, 404, 500, 503])('takes %d for ill, and follows nowhere', async (status) => {
    const port = await listening(answering(status), '127.0.0.1');
    expect(await ask(http(port))).toBe(`http://127.0.0.1:${port}/ answered ${status}`);
  });

  it('gives up on one that takes the connection and says nothing', async () => {
    const port = await listening(
      createServer(() => undefined),
      '127.0.0.1',
    );
    expect(await ask({ ...http(port), ...brief })).toBe('no answer within 0.3 s');
  });

  it('says that nobody listens', async () => {
    expect(await ask(http(1))).toMatch(/ECONNREFUSED/);
  });
});

describe('an exec check', () => {
  it('is well when the command ends with 0, in the environment of the service', async () => {
    expect(await ask(exec('test "$MOOD" = well'))).toBeNull();
  });

  it('says how the command ended otherwise', async () => {
    expect(await ask(exec('exit 7'))).toBe('the check ended with exit code 7');
    expect(await ask(exec('kill -9 $$'))).toBe('the check was killed by SIGKILL');
  });

  it('kills a command that takes too long, with all that it has started', async () => {
    const hangs = exec('trap "" TERM; sleep 61.7 & sleep 61.7');
    expect(await ask({ ...hangs, ...brief })).toBe('no answer within 0.3 s');
    while ((await commands()).some((command) => command.startsWith('sleep\u000061.7')))
      await new Promise(setImmediate);
  });

  it('says that there is no such command', async () => {
    const check: HealthCheck = { type: 'exec', command: ['/nowhere/check'], ...timing };
    expect(await ask(check)).toMatch(/ENOENT/);
  });

  it('ends at once when the service does', async () => {
    const stop = new AbortController();
    const answer = probe(exec('sleep 60'), home, stop.signal);
    stop.abort();
    expect(await answer).not.toBeNull();
  });
});
