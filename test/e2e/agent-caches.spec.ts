import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { Agent, createServer as createTlsServer, request, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { memberContext } from '../../agent/caches/member-tls.js';
import { NearSources } from '../../agent/caches/near-sources.js';
import type { NearCache } from '../../agent/caches/snapshot-caches.js';
import { Log } from '../../agent/log.js';
import { TrustStore } from '../../agent/trust/trust-store.js';
import { ArtifactDownloads } from '../../agent/updates/artifact-download.js';
import { findFreePort } from '../../src/common/database/embedded/free-port.js';
import { AgentFleet } from '../support/agent-fleet.js';
import type { AgentProcess } from '../support/agent-process.js';
import { created } from '../support/given.js';
import { endNodeServices } from '../support/node-services.js';
import { Publisher, type TestFile, testFile } from '../support/publisher.js';
import { releaseService } from '../support/service-release.js';
import { until } from '../support/until.js';
import { UpdateStage } from '../support/updated-nodes.js';

/** Real processes on a busy machine. */
const TIMEOUT_MS = 300_000;
const CACHE_CAPABILITY = ['--capability', 'can_run_update_cache'];
const quiet = new Log('error', () => undefined);

// biome-ignore lint/suspicious/noExplicitAny: answers have every shape
type Json = any;

/** A member with a certificate of its own, whose agent has gone. */
interface Member {
  nodeId: string;
  trust: TrustStore;
}

let fleet: AgentFleet;
let folder: string;
let clusterId: string;
let publisher: Publisher;
let cache: { nodeId: string; agent: AgentProcess; port: number; assignment: string };
let reader: Member;
/** Nodes whose services are to end with the test. */
const updated: string[] = [];

beforeAll(async () => {
  fleet = await AgentFleet.open();
  folder = await mkdtemp(join(tmpdir(), 'fabric-caches-'));
  clusterId = (await fleet.cluster()).id;
  publisher = await Publisher.make(fleet.plane.api);
  const port = await findFreePort();
  const nodeId = await fleet.admit('cache', clusterId, {}, ...CACHE_CAPABILITY);
  const role = { nodeId, role: 'update-cache' };
  const { id } = created(await fleet.plane.api.post(`/clusters/${clusterId}/role-assignments`, role)) as Json;
  const assignment = `/clusters/${clusterId}/role-assignments/${id}`;
  cache = { nodeId, port, assignment, agent: runCache(port) };
  reader = await member('reader');
}, 300_000);
afterAll(async () => {
  await fleet?.close();
  await endNodeServices(...updated);
  await rm(folder, { recursive: true, force: true });
});

const runCache = (port: number) => fleet.run('cache', '--cache-listen', `127.0.0.1:${port}`);

/** Admits a node and lets its agent get what it is trusted by. */
async function member(name: string, cluster = clusterId): Promise<Member> {
  const nodeId = await fleet.admit(name, cluster);
  const agent = fleet.run(name);
  await agent.seen('certificate.issued');
  await agent.seen('revocations.applied', ({ epoch }) => epoch !== null);
  await agent.end('SIGTERM');
  const trust = await TrustStore.open(fleet.host.directory(name), { nodeId, clusterId: cluster }, quiet);
  return { nodeId, trust };
}

function contextOf({ trust }: Member): SecureContextOptions {
  const context = memberContext(trust.current);
  if (context === null) throw new Error('the member cannot prove itself');
  return context;
}

/** Releases a version that the cache is to keep, and waits until it does. */
async function mirrored(version: string, file: TestFile = testFile()): Promise<TestFile> {
  await publisher.publish(version, file);
  created(await publisher.upload(version, file.bytes));
  created(await publisher.api.post(publisher.path(version, '/approve')));
  const channel = `/clusters/${clusterId}/channels/${publisher.product}/current`;
  created(await publisher.api.put(channel, { version }));
  await fleet.until(`/clusters/${clusterId}/update-caches`, ({ items }) =>
    items.some(({ held }: Json) => held.includes(file.sha256)),
  );
  return file;
}

const near = (nodeId: string, port: number): NearCache => ({
  nodeId,
  url: `https://127.0.0.1:${port}`,
  spiffeId: `spiffe://${clusterId}/node/${nodeId}`,
});

/** The file from these caches, by a member that has no other source. */
async function download(
  file: TestFile,
  caches: NearCache[],
  sources = sourcesOf(reader, caches),
): Promise<Buffer> {
  const to = await mkdtemp(join(folder, 'download-'));
  const path = await new ArtifactDownloads(to, quiet).fetch(
    file,
    sources.of(file),
    AbortSignal.timeout(60_000),
  );
  return readFile(path);
}

function sourcesOf({ trust }: Member, caches: NearCache[]): NearSources {
  const sources = new NearSources(clusterId, trust);
  sources.apply(caches);
  return sources;
}

interface Got {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** One plain request to the cache; what its host name says matters to nobody. */
function ask(
  path: string,
  context: SecureContextOptions,
  { method = 'GET', agent = new Agent(), headers = {} as Record<string, string> } = {},
): Promise<Got> {
  return new Promise((resolve, reject) => {
    const options = {
      ...context,
      method,
      agent,
      headers,
      servername: '',
      checkServerIdentity: () => undefined,
    };
    const call = request(`https://127.0.0.1:${cache.port}${path}`, options, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks) });
      });
    });
    call.on('error', reject);
    call.end();
  });
}
const statusOf = (path: string, context: SecureContextOptions) =>
  ask(path, context).then(
    ({ status }) => status,
    () => 'refused' as const,
  );

describe('a real agent that updates itself from a cache', () => {
  it(
    'gets the release from it, and from the control plane what it gives wrongly',
    async () => {
      const stage = await UpdateStage.open(fleet);
      const { api } = fleet.plane;
      const port = await findFreePort();
      const nodeId = await fleet.admit('site', stage.clusterId, {}, ...CACHE_CAPABILITY);
      const role = { nodeId, role: 'update-cache' };
      created(await api.post(`/clusters/${stage.clusterId}/role-assignments`, role));
      const site = fleet.run('site', '--cache-listen', `127.0.0.1:${port}`);
      const node = await stage.admit();
      updated.push(node.id);
      node.run();
      await node.agent.seen('certificate.issued');
      await node.agent.seen('revocations.applied', ({ epoch }) => epoch !== null);
      await node.agent.seen('heartbeat.ok');
      /** Releases a version, and waits until the cache has it. */
      const kept = async (version: string): Promise<string> => {
        await releaseService(stage.publisher, { version });
        const { sha256 } = (created(await api.get(stage.publisher.path(version))) as Json).artifacts[0];
        const channel = `/clusters/${stage.clusterId}/channels/${stage.publisher.product}/current`;
        created(await api.put(channel, { version }));
        await fleet.until(`/clusters/${stage.clusterId}/update-caches`, ({ items }) =>
          items.some(({ held, isTold }: Json) => isTold && held.includes(sha256)),
        );
        return sha256;
      };

      const good = await kept('1.0.0');
      await stage.reaches(await stage.rollOut('1.0.0'), 'succeeded');
      await site.seen('cache.served', ({ sha256 }) => sha256 === good);
      expect(node.agent.all('download.failed')).toEqual([]);

      const bad = await kept('2.0.0');
      const path = join(fleet.host.directory('site'), 'update-cache', bad);
      await writeFile(path, Buffer.alloc((await readFile(path)).length, 'x'));
      await stage.reaches(await stage.rollOut('2.0.0'), 'succeeded');
      await site.seen('cache.served', ({ sha256 }) => sha256 === bad);
      const failed = node.agent.all('download.failed');
      expect(failed.map(({ source, sha256 }) => [source, sha256])).toEqual([[`cache ${nodeId}`, bad]]);
      await node.seen({ reportedState: 'running', reportedVersion: '2.0.0', health: 'healthy' });
    },
    TIMEOUT_MS,
  );
});

describe('a real agent with the role of a cache', () => {
  it(
    'fills itself with what its snapshot lists, and gives it to members, whole or in parts',
    async () => {
      const file = await mirrored('1.0.0', testFile(Buffer.alloc(3_000_000, 'release ')));
      const served = () => cache.agent.all('cache.served').length;
      const before = served();
      // Compared by Buffer itself: a comparison byte by byte keeps the service from answering for many seconds.
      expect((await download(file, [near(cache.nodeId, cache.port)])).equals(file.bytes)).toBe(true);
      await cache.agent.seen('cache.served', ({ sha256 }) => sha256 === file.sha256);
      expect(served()).toBe(before + 1);
      const { items } = created(await fleet.plane.api.get(`/clusters/${clusterId}/update-caches`)) as Json;
      expect(items).toMatchObject([
        { nodeId: cache.nodeId, url: `https://127.0.0.1:${cache.port}`, isTold: true, usedBytes: file.size },
      ]);

      const context = contextOf(reader);
      const path = `/artifacts/${file.sha256}`;
      const etag = `"${file.sha256}"`;
      const rest = await ask(path, context, { headers: { range: 'bytes=2999990-', 'if-range': etag } });
      expect([rest.status, rest.headers['content-range'], rest.body]).toEqual([
        206,
        'bytes 2999990-2999999/3000000',
        file.bytes.subarray(2_999_990),
      ]);
      const other = await ask(path, context, { headers: { range: 'bytes=5-', 'if-range': '"other"' } });
      expect([other.status, other.body.length]).toEqual([200, file.size]);
      const beyond = await ask(path, context, { headers: { range: 'bytes=3000000-' } });
      expect([beyond.status, beyond.headers['content-range']]).toEqual([416, 'bytes */3000000']);
      const known = await ask(path, context, { headers: { 'if-none-match': etag } });
      expect([known.status, known.headers.etag, known.body.length]).toEqual([304, etag, 0]);
      const head = await ask(path, context, { method: 'HEAD' });
      expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, '3000000', 0]);
      expect(head.headers['repr-digest']).toBe(
        `sha-256=:${Buffer.from(file.sha256, 'hex').toString('base64')}:`,
      );
      expect((await ask(path, context, { method: 'PUT' })).status).toBe(405);
      for (const wrong of [
        `/artifacts/${'0'.repeat(64)}`,
        '/',
        `${path}/..`,
        '/artifacts/../../keys',
        `${path}?x`,
      ])
        expect([wrong, (await ask(wrong, context)).status]).toEqual([wrong, 404]);
    },
    TIMEOUT_MS,
  );

  it(
    'lets nobody in but members of its cluster: no certificate, that of another cluster, one that was revoked',
    async () => {
      const file = await mirrored('1.1.0');
      const path = `/artifacts/${file.sha256}`;
      const { ca } = contextOf(reader);
      expect(await statusOf(path, { ca })).toBe('refused');
      const stranger = await member('stranger', (await fleet.cluster()).id);
      expect(await statusOf(path, { ...contextOf(stranger), ca })).toBe('refused');

      const leaver = await member('leaver');
      const context = contextOf(leaver);
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      expect((await ask(path, context, { agent })).status).toBe(200);
      const [socket] = Object.values(agent.freeSockets).flatMap((sockets) => sockets ?? []) as TLSSocket[];
      if (socket === undefined) throw new Error('no connection was kept');
      const cutOff = new Promise((resolve) => socket.once('close', resolve));
      created(
        await fleet.plane.api.post(`/clusters/${clusterId}/nodes/${leaver.nodeId}/revoke`, {
          reason: 'Gone.',
        }),
      );
      // Asked again and again, so that nobody cuts the connection off for having been idle.
      await until(
        () =>
          ask(path, context, { agent }).then(
            ({ status }) => status,
            () => 'refused' as const,
          ),
        (status) => status === 'refused',
      );
      await cutOff;
      expect(await statusOf(path, context)).toBe('refused');
      await cache.agent.seen('cache.refused', ({ detail }) => detail === 'revoked');
      expect(await statusOf(path, contextOf(reader))).toBe(200);
    },
    TIMEOUT_MS,
  );

  it(
    'forgets what is blocked: it leaves the list, is served no more and is gone from the disk',
    async () => {
      const file = await mirrored('1.2.0');
      created(await publisher.api.post(publisher.path('1.2.0', '/block'), { reason: 'Bad.' }));
      const context = contextOf(reader);
      await until(
        () => statusOf(`/artifacts/${file.sha256}`, context),
        (status) => status === 404,
      );
      const kept = join(fleet.host.directory('cache'), 'update-cache');
      await until(
        () => readdir(kept),
        (names) => !names.some((name) => name.startsWith(file.sha256)),
      );
      await fleet.until(`/clusters/${clusterId}/update-caches`, ({ items }) =>
        items.every(({ held }: Json) => !held.includes(file.sha256)),
      );
    },
    TIMEOUT_MS,
  );

  it(
    'survives kill -9, and mends what it finds changed on its disk before it serves it',
    async () => {
      const file = await mirrored('1.3.0');
      await cache.agent.end('SIGKILL');
      const kept = join(fleet.host.directory('cache'), 'update-cache');
      await writeFile(join(kept, file.sha256), Buffer.alloc(file.size, 'x'));
      await writeFile(join(kept, `${'0'.repeat(64)}.part`), 'half');
      cache.agent = runCache(cache.port);
      const context = contextOf(reader);
      const path = `/artifacts/${file.sha256}`;
      await until(
        () => statusOf(path, context),
        (status) => status === 200,
      );
      expect((await ask(path, context)).body).toEqual(file.bytes);
      expect(await readdir(kept)).not.toContain(`${'0'.repeat(64)}.part`);
    },
    TIMEOUT_MS,
  );

  it(
    'is passed over when it lies, is another than it should be, or is not there, and is not asked for that file again',
    async () => {
      const file = await mirrored('1.4.0');
      const liar = await member('liar');
      let lies = 0;
      const server: Server = createTlsServer({ ...contextOf(liar), requestCert: true }, (_, answer) => {
        lies += 1;
        answer.writeHead(200, { 'content-length': file.size }).end(Buffer.alloc(file.size, 'x'));
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      try {
        const { port } = server.address() as AddressInfo;
        const honest = near(cache.nodeId, cache.port);
        const nobody = near(cache.nodeId, await findFreePort());
        // Who answers under the name of another is not even asked.
        const impostor = near(cache.nodeId, port);
        const sources = sourcesOf(reader, [impostor, nobody, near(liar.nodeId, port), honest]);
        expect(await download(file, [], sources)).toEqual(file.bytes);
        expect(lies).toBe(1);
        expect(await download(file, [], sources)).toEqual(file.bytes);
        expect(lies).toBe(1);
        await expect(download(file, [near(liar.nodeId, port)])).rejects.toThrow('is not the file');
      } finally {
        server.close();
        server.closeAllConnections();
      }
    },
    TIMEOUT_MS,
  );

  it(
    'serves nothing without its role, and what it kept is gone',
    async () => {
      const file = await mirrored('1.5.0');
      created(await fleet.plane.api.post(`${cache.assignment}/disable`));
      await until(
        () => statusOf(`/artifacts/${file.sha256}`, contextOf(reader)),
        (status) => status === 'refused',
      );
      await fleet.until(`/clusters/${clusterId}/update-caches`, ({ items }) => items[0].url === null);
      await until(
        () => readdir(join(fleet.host.directory('cache'), 'update-cache')),
        (names) => names.length === 0,
      );
    },
    TIMEOUT_MS,
  );
});
