import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import S3rver from 's3rver';
import type { ArtifactPlace } from '../../src/common/config/config.js';
import { ARTIFACT_STORE, type ArtifactStore } from '../../src/modules/releases/artifact-store.js';
import { AssignedArtifacts } from '../../src/modules/releases/assigned-artifacts.js';
import { StorageSweep } from '../../src/modules/releases/storage-sweep.js';
import { type Answer, type Api, apiClient } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created } from '../support/given.js';
import {
  envelopeOf,
  manifestOf,
  migrationOf,
  Publisher,
  type TestFile,
  testFile,
} from '../support/publisher.js';
import { buildService, startService } from '../support/service-process.js';
import { createTestDatabase } from '../support/test-database.js';
import { admittedNode, type TestNode } from '../support/test-node.js';
import { until } from '../support/until.js';

const limits = { principalPerMinute: 100_000 };
const refusal = ({ status, body }: Answer) => `${status} ${body.code}`;

let s3: S3rver;
let directory: string;
let places: Record<'directory' | 's3', ArtifactPlace>;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fabric-artifacts-'));
  s3 = new S3rver({
    address: '127.0.0.1',
    port: 0,
    silent: true,
    directory: join(directory, 'bucket'),
    configureBuckets: [{ name: 'artifacts' }],
  });
  const { port } = await s3.run();
  // The keys that this server knows.
  Object.assign(process.env, {
    AWS_ACCESS_KEY_ID: 'S3RVER',
    AWS_SECRET_ACCESS_KEY: 'S3RVER',
    AWS_REGION: 'us-east-1',
  });
  places = {
    directory: { kind: 'directory', path: join(directory, 'store') },
    s3: { kind: 's3', bucket: 'artifacts', prefix: 'fabric', endpoint: `http://127.0.0.1:${port}` },
  };
});
afterAll(async () => {
  await s3?.close();
  await rm(directory, { recursive: true, force: true });
});

describe.each(['directory', 's3'] as const)('artifacts in a store of the kind %s', (kind) => {
  let controlPlane: ControlPlane;
  let api: Api;
  let publisher: Publisher;
  let spool: string;
  let counter = 0;
  beforeAll(async () => {
    const dataDir = join(directory, `data-${kind}`);
    const artifacts = { store: places[kind], maxBytes: 2_147_483_648 };
    controlPlane = await startControlPlane({ config: { limits, dataDir, artifacts } });
    ({ api } = controlPlane);
    publisher = await Publisher.make(api);
    spool = join(kind === 's3' ? join(dataDir, 'artifacts') : join(directory, 'store'), 'incoming');
  });
  afterAll(() => controlPlane?.close());

  const nextVersion = () => {
    counter += 1;
    return `1.${counter}.0`;
  };
  const pathOf = (version: string) => publisher.path(version, '/artifacts/linux/x64');
  const download = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    fetch(`${controlPlane.url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${controlPlane.ownerToken}`, ...headers },
    });
  const spooled = () => readdir(spool).catch(() => [] as string[]);
  const isStored = async (version: string) =>
    (await api.get(publisher.path(version))).body.artifacts[0].storedAt !== null;
  const stored = () => controlPlane.database.query('SELECT sha256 FROM stored_objects');
  /** Whether the store has the bytes, whatever any row says. */
  const holds = (file: TestFile): Promise<boolean> =>
    controlPlane.app
      .get<ArtifactStore>(ARTIFACT_STORE)
      .open(file, null)
      .then(
        (stream) => {
          stream.destroy();
          return true;
        },
        () => false,
      );

  it('come back byte for byte, whole and in parts, with digest and ETag', async () => {
    const version = nextVersion();
    const file = await publisher.publish(version, testFile(randomBytes(3_000_000)));
    const put = await publisher.upload(version, file.bytes);
    expect(put.status).toBe(201);
    expect(put.body).toMatchObject({ os: 'linux', arch: 'x64', sha256: file.sha256, size: 3_000_000 });
    expect((await publisher.upload(version, file.bytes)).status).toBe(200);
    created(await api.post(publisher.path(version, '/approve')));

    const whole = await download(pathOf(version));
    const digest = `sha-256=:${createHash('sha256').update(file.bytes).digest('base64')}:`;
    expect(Object.fromEntries(whole.headers)).toMatchObject({
      etag: `"${file.sha256}"`,
      'repr-digest': digest,
      'accept-ranges': 'bytes',
      'content-type': 'application/gzip',
      'content-length': '3000000',
      'content-disposition': `attachment; filename="${publisher.product}-linux-x64.tar.gz"`,
    });
    expect(put.headers.get('etag')).toBe(whole.headers.get('etag'));
    expect(Buffer.from(await whole.arrayBuffer()).equals(file.bytes)).toBe(true);

    const part = await download(pathOf(version), { range: 'bytes=2999990-' });
    expect([part.status, part.headers.get('content-range'), part.headers.get('repr-digest')]).toEqual([
      206,
      'bytes 2999990-2999999/3000000',
      digest,
    ]);
    expect(Buffer.from(await part.arrayBuffer())).toEqual(file.bytes.subarray(2_999_990));
    const first = await download(pathOf(version), { range: 'bytes=0-9', 'if-range': `"${file.sha256}"` });
    expect(Buffer.from(await first.arrayBuffer())).toEqual(file.bytes.subarray(0, 10));
    for (const ifRange of [
      '"another"',
      `W/"${file.sha256}"`,
      '"unclosed',
      '*',
      'Mon, 01 Jan 2024 00:00:00 GMT',
    ]) {
      const other = await download(pathOf(version), { range: 'bytes=0-9', 'if-range': ifRange });
      expect([other.status, (await other.arrayBuffer()).byteLength]).toEqual([200, 3_000_000]);
    }
    const beyond = await download(pathOf(version), { range: 'bytes=3000000-' });
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, 'bytes */3000000']);
    expect(await beyond.json()).toMatchObject({ code: 'range_not_satisfiable' });
    const known = await download(pathOf(version), { 'if-none-match': `"${file.sha256}"` });
    expect([known.status, await known.text()]).toEqual([304, '']);
    const head = await download(pathOf(version), { range: 'bytes=0-9' }, 'HEAD');
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([
      200,
      '3000000',
      '',
    ]);
  });

  it('are refused and leave nothing when they are other bytes, more or fewer, whatever was announced', async () => {
    const version = nextVersion();
    const file = await publisher.publish(version, testFile(randomBytes(200_000)));
    const before = await stored();
    const bytes = {
      other: randomBytes(200_000),
      changed: Buffer.concat([
        file.bytes.subarray(0, 199_999),
        Buffer.from([(file.bytes[199_999] ?? 0) ^ 1]),
      ]),
      more: Buffer.concat([file.bytes, Buffer.from('x')]),
      fewer: file.bytes.subarray(1),
      none: Buffer.alloc(0),
    };
    for (const [what, sent] of Object.entries(bytes)) {
      expect([what, refusal(await publisher.upload(version, sent))]).toEqual([what, '422 digest_mismatch']);
      expect([what, await chunked(version, [sent])]).toEqual([what, '422 digest_mismatch']);
    }
    expect(await spooled()).toEqual([]);
    expect(await stored()).toEqual(before);
    expect([await isStored(version), await holds(file)]).toEqual([false, false]);
    expect(await chunked(version, [file.bytes.subarray(0, 7), file.bytes.subarray(7)])).toBe('201 undefined');
  });

  it('are cut off when they do not end: ten gigabytes are not read for a claim of a thousand bytes', async () => {
    const version = nextVersion();
    await publisher.publish(version);
    let sent = 0;
    const megabyte = Buffer.alloc(1_000_000);
    const outcome = await chunked(
      version,
      (function* () {
        for (; sent < 10_000; sent += 1) yield megabyte;
      })(),
    );
    expect(['422 digest_mismatch', 'cut off']).toContain(outcome);
    // What the service reads of a refused body, and what the buffers in between hold.
    expect(sent).toBeLessThan(100);
    expect(await spooled()).toEqual([]);
  });

  it('are refused before a byte of them is sent when ten gigabytes are announced', async () => {
    const version = nextVersion();
    await publisher.publish(version);
    const call = put(version, { 'content-length': '10000000000' });
    call.on('error', () => undefined);
    call.flushHeaders();
    const [response] = (await once(call, 'response')) as [IncomingMessage];
    const parts: Buffer[] = [];
    for await (const part of response) parts.push(part as Buffer);
    const { code } = JSON.parse(Buffer.concat(parts).toString());
    call.destroy();
    expect([response.statusCode, code]).toEqual([422, 'digest_mismatch']);
    expect(await spooled()).toEqual([]);
  });

  it('leave nothing when the connection breaks', async () => {
    const version = nextVersion();
    const file = await publisher.publish(version, testFile(randomBytes(100_000)));
    const call = put(version, { 'content-length': '100000' });
    call.on('error', () => undefined);
    call.write(file.bytes.subarray(0, 50_000));
    await until(spooled, ({ length }) => length === 1);
    call.destroy();
    await until(spooled, ({ length }) => length === 0);
    expect([await isStored(version), await holds(file)]).toEqual([false, false]);
  });

  it('are taken once of many who bring them at the same time', async () => {
    const version = nextVersion();
    const file = await publisher.publish(version);
    const answers = await Promise.all(Array.from({ length: 6 }, () => publisher.upload(version, file.bytes)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 200, 201]);
    expect(await holds(file)).toBe(true);
  });

  it('that uploads have left which died are swept away, and nothing else is', async () => {
    const version = nextVersion();
    const [kept, orphan, young] = [await publisher.publish(version), testFile(), testFile()];
    created(await publisher.upload(version, kept.bytes));
    const store = controlPlane.app.get<ArtifactStore>(ARTIFACT_STORE);
    await mkdir(spool, { recursive: true });
    for (const [file, age] of [
      [orphan, '25 hours'],
      [young, '23 hours'],
    ] as const) {
      await writeFile(join(spool, file.sha256), file.bytes);
      await store.place(join(spool, file.sha256), file);
      await controlPlane.database.query(
        `INSERT INTO stored_objects (sha256, size_bytes, claimed_at) VALUES (decode($1, 'hex'), $2, now() - $3::interval)`,
        [file.sha256, file.size, age],
      );
    }
    await controlPlane.database.query(
      `UPDATE stored_objects SET claimed_at = now() - interval '30 days' WHERE sha256 = decode($1, 'hex')`,
      [kept.sha256],
    );
    await writeFile(join(spool, 'dead'), 'half of a file');
    const longAgo = new Date(Date.now() - 2 * 3_600_000);
    await utimes(join(spool, 'dead'), longAgo, longAgo);
    await writeFile(join(spool, 'alive'), 'another half');
    await controlPlane.app.get(StorageSweep).run();
    expect(await spooled()).toEqual(['alive']);
    await rm(join(spool, 'alive'));
    expect([await holds(kept), await holds(orphan), await holds(young)]).toEqual([true, false, true]);
    // Whoever brings again what was swept has it again.
    const again = nextVersion();
    await publisher.publish(again, orphan);
    expect((await publisher.upload(again, orphan.bytes)).status).toBe(201);
    expect(await holds(orphan)).toBe(true);
  });

  it('that were swept before they were written down are brought once more', async () => {
    const version = nextVersion();
    const file = await publisher.publish(version);
    const store = controlPlane.app.get<ArtifactStore>(ARTIFACT_STORE);
    const place = jest.spyOn(store, 'place').mockImplementationOnce(async (path, content) => {
      await rm(path);
      await controlPlane.database.query(`DELETE FROM stored_objects WHERE sha256 = decode($1, 'hex')`, [
        content.sha256,
      ]);
    });
    expect(refusal(await publisher.upload(version, file.bytes))).toBe('503 unavailable');
    place.mockRestore();
    expect(await isStored(version)).toBe(false);
    expect((await publisher.upload(version, file.bytes)).status).toBe(201);
    expect(await holds(file)).toBe(true);
  });

  it('leave only when the release is approved and not blocked, and the bytes are there', async () => {
    const version = nextVersion();
    const bundle = testFile();
    const file = await publisher.publish(version, testFile(), { migrations: [migrationOf(bundle)] });
    const bundlePath = publisher.path(version, '/migrations/state-2/bundle');
    const get = (path: string) => api.get(path).then(refusal);
    created(await publisher.upload(version, file.bytes));
    expect(await get(pathOf(version))).toBe('409 release_not_approved');
    created(await api.post(publisher.path(version, '/approve')));
    expect(await get(pathOf(version))).toBe('200 undefined');
    expect(await get(bundlePath)).toBe('409 artifact_not_stored');
    expect(refusal(await api.put(bundlePath, randomBytes(1000)))).toBe('422 digest_mismatch');
    expect((await api.put(bundlePath, bundle.bytes)).status).toBe(201);
    expect((await api.get(publisher.path(version))).body.complete).toBe(true);
    expect(Buffer.from(await (await download(bundlePath)).arrayBuffer())).toEqual(bundle.bytes);
    created(await api.post(publisher.path(version, '/block'), { reason: 'Bad.' }));
    expect(await get(pathOf(version))).toBe('409 release_blocked');
    expect(await get(bundlePath)).toBe('409 release_blocked');
    expect(await get(publisher.path(version, '/artifacts/darwin/arm64'))).toBe('404 not_found');
    expect(await get(publisher.path(version, '/artifacts/beos/mips'))).toBe('404 not_found');
    expect(await get(publisher.path(version, '/migrations/none/bundle'))).toBe('404 not_found');
  });

  it('cannot be planned, and are taken from those alone who may publish', async () => {
    const version = nextVersion();
    const file = await publisher.publish(version);
    expect(refusal(await api.put(`${pathOf(version)}?dryRun=true`, file.bytes))).toBe(
      '422 dry_run_unsupported',
    );
    expect(refusal(await api.put(pathOf(version), file.bytes, { 'x-plan-hash': 'x' }))).toBe(
      '422 dry_run_unsupported',
    );
    const { token } = created(await api.post('/api-tokens', { name: 'auditor', role: 'auditor' })) as {
      token: string;
    };
    expect(refusal(await api.as(token).put(pathOf(version), file.bytes))).toBe('403 forbidden');
    expect((await api.as(null).put(pathOf(version), file.bytes)).status).toBe(401);
    expect(refusal(await api.put(pathOf(version), file.bytes, { 'if-match': '"x"' }))).toBe(
      '412 precondition_failed',
    );
    // The type says nothing: a file may well be JSON, and no valid one.
    const typed = await api.put(pathOf(version), file.bytes, { 'content-type': 'application/json' });
    expect(typed.status).toBe(201);
    expect(refusal(await api.post('/products', '{}', { 'content-type': 'application/x-fabric-bytes' }))).toBe(
      '415 unsupported_media_type',
    );
  });

  /** Begins an upload of which the test writes the body. */
  function put(version: string, headers: Record<string, string> = {}) {
    return httpRequest(`${controlPlane.url}/api/v1${pathOf(version)}`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${controlPlane.ownerToken}`, ...headers },
    });
  }

  /** Uploads without saying how much. @returns status and code, or that the connection ended before an answer */
  function chunked(version: string, chunks: Iterable<Buffer>): Promise<string> {
    return new Promise((resolve) => {
      const call = put(version);
      let isAnswered = false;
      let goOn = () => {};
      call.on('drain', () => goOn()).on('close', () => goOn());
      call.on('error', () => isAnswered || resolve('cut off'));
      call.on('response', async (response) => {
        isAnswered = true;
        const parts: Buffer[] = [];
        for await (const part of response) parts.push(part as Buffer);
        resolve(`${response.statusCode} ${JSON.parse(Buffer.concat(parts).toString()).code}`);
        call.destroy();
      });
      void (async () => {
        for (const chunk of chunks) {
          if (isAnswered || call.destroyed) return;
          if (call.write(chunk)) continue;
          await new Promise<void>((next) => {
            goOn = next;
          });
        }
        call.end();
      })();
    });
  }
});

describe('a store that is away', () => {
  it.each(['directory', 's3'] as const)(
    'of the kind %s is 503 up and down, and nothing is half done',
    async (kind) => {
      const store =
        kind === 's3'
          ? { ...places.s3, endpoint: 'http://127.0.0.1:9' }
          : { kind, path: join(directory, 'lost') };
      const artifacts = { store: store as ArtifactPlace, maxBytes: 1_000_000 };
      const controlPlane = await startControlPlane({
        config: { limits, dataDir: join(directory, 'away'), artifacts },
      });
      try {
        const publisher = await Publisher.make(controlPlane.api);
        const file = await publisher.publish('1.0.0');
        created(await controlPlane.api.post(publisher.path('1.0.0', '/approve')));
        if (kind === 's3')
          expect(refusal(await publisher.upload('1.0.0', file.bytes))).toBe('503 unavailable');
        else {
          created(await publisher.upload('1.0.0', file.bytes));
          await rm(join(directory, 'lost'), { recursive: true });
          expect(refusal(await controlPlane.api.get(publisher.path('1.0.0', '/artifacts/linux/x64')))).toBe(
            '503 unavailable',
          );
        }
        const { storedAt } = (await controlPlane.api.get(publisher.path('1.0.0'))).body.artifacts[0];
        expect(storedAt === null).toBe(kind === 's3');
        const tooLarge = envelopeOf(
          manifestOf(publisher.product, '2.0.0', { ...file, size: 1_000_001 }),
          publisher.keys,
        );
        expect(refusal(await publisher.send(tooLarge))).toBe('422 manifest_invalid');
      } finally {
        await controlPlane.close();
      }
    },
  );
});

describe('a service that is killed while it puts a file into a bucket', () => {
  beforeAll(buildService, 300_000);

  it('serves nothing of it, and takes the file when it is sent again', async () => {
    const database = await createTestDatabase();
    const gate = await Gate.open(
      Number(new URL(places.s3.kind === 's3' ? (places.s3.endpoint ?? '') : '').port),
    );
    const token = randomBytes(24).toString('hex');
    const env = {
      DATABASE_URL: database.appUrl,
      FABRIC_DATABASE_OWNER_URL: database.ownerUrl,
      FABRIC_DATA_DIR: join(directory, 'killed'),
      FABRIC_MASTER_KEY: randomBytes(32).toString('base64url'),
      FABRIC_BOOTSTRAP_TOKEN: token,
      FABRIC_ARTIFACT_STORE: 's3://artifacts/killed',
      FABRIC_S3_ENDPOINT: `http://127.0.0.1:${gate.port}`,
      AWS_ACCESS_KEY_ID: 'S3RVER',
      AWS_SECRET_ACCESS_KEY: 'S3RVER',
      AWS_REGION: 'us-east-1',
      PORT: '0',
    };
    let service = await startService(env);
    try {
      const publisher = await Publisher.make(apiClient(service.url, token));
      const file = await publisher.publish('1.0.0', testFile(randomBytes(4_000_000)));
      gate.holdAfter(1_000_000);
      const upload = publisher.upload('1.0.0', file.bytes).catch(() => 'broken off');
      await gate.held;
      await service.end('SIGKILL');
      expect(await upload).toBe('broken off');
      gate.letGo();

      service = await startService(env);
      const again = publisher.through(apiClient(service.url, token));
      created(await again.api.post(again.path('1.0.0', '/approve')));
      const path = again.path('1.0.0', '/artifacts/linux/x64');
      // This server, unlike Amazon's, leaves half an object under the name; no row says that it is there.
      expect(refusal(await again.api.get(path))).toBe('409 artifact_not_stored');
      expect((await again.upload('1.0.0', file.bytes)).status).toBe(201);
      const got = await fetch(`${service.url}/api/v1${path}`, {
        headers: { authorization: `Bearer ${token}` },
      });
      expect(Buffer.from(await got.arrayBuffer()).equals(file.bytes)).toBe(true);
    } finally {
      await service.end('SIGKILL');
      gate.close();
      await database.drop();
    }
  });
});

/** A way to a server that can stop in the middle of what is sent. */
class Gate {
  readonly held: Promise<void>;
  private onHeld: () => void = () => undefined;
  private left = Number.POSITIVE_INFINITY;

  private constructor(
    private readonly server: ReturnType<typeof createServer>,
    to: number,
  ) {
    this.held = new Promise((resolve) => {
      this.onHeld = resolve;
    });
    server.on('connection', (client) => {
      const there = connect(to, '127.0.0.1');
      there.pipe(client);
      client.on('data', (chunk) => {
        this.left -= chunk.length;
        if (this.left >= 0) there.write(chunk);
        else this.onHeld();
      });
      client.on('close', () => there.destroy()).on('error', () => there.destroy());
      there.on('close', () => client.destroy()).on('error', () => client.destroy());
    });
  }

  static async open(to: number): Promise<Gate> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Gate(server, to);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Lets so many bytes pass, and drops what comes after. */
  holdAfter(bytes: number): void {
    this.left = bytes;
  }

  letGo(): void {
    this.left = Number.POSITIVE_INFINITY;
  }

  close(): void {
    this.server.close();
  }
}

describe('a node', () => {
  let controlPlane: ControlPlane;
  let api: Api;
  let node: TestNode;
  let assigned: { nodeId: string; releaseId: string; os: string; arch: string }[];
  beforeAll(async () => {
    controlPlane = await startControlPlane({ config: { limits } });
    ({ api } = controlPlane);
    node = await admittedNode(controlPlane);
    assigned = [];
    controlPlane.app
      .get(AssignedArtifacts)
      .add(async (_, { nodeId }) => assigned.filter((each) => each.nodeId === nodeId));
  });
  afterAll(() => controlPlane?.close());

  it('downloads what its assignments name, and nothing else', async () => {
    const publisher = await Publisher.make(api);
    const bundle = testFile();
    const file = await publisher.release('1.0.0', { migrations: [migrationOf(bundle)] });
    created(await api.put(publisher.path('1.0.0', '/migrations/state-2/bundle'), bundle.bytes));
    const { id } = (await api.get(publisher.path('1.0.0'))).body;
    const own = await node.api();
    const path = ({ sha256 }: TestFile) => `/node-agents/me/artifacts/${sha256}`;
    const get = async (sought: TestFile, as = own) => (await as.get(path(sought))).status;
    expect(await get(file)).toBe(404);
    assigned = [{ nodeId: node.nodeId, releaseId: id, os: 'linux', arch: 'x64' }];
    expect([await get(file), await get(bundle), await get(testFile())]).toEqual([200, 200, 404]);
    expect((await own.get('/node-agents/me/artifacts/..%2F..%2Fetc%2Fpasswd')).status).toBe(404);
    const part = await own.get(path(file), undefined, { range: 'bytes=0-9' });
    expect([part.status, part.headers.get('content-range')]).toEqual([206, 'bytes 0-9/1000']);
    const other = await admittedNode(controlPlane, node.clusterId);
    expect(await get(file, await other.api())).toBe(404);
    // What is for another system is not named, though the release is.
    assigned = [{ nodeId: node.nodeId, releaseId: id, os: 'linux', arch: 'arm64' }];
    expect(await get(file)).toBe(404);
    assigned = [{ nodeId: node.nodeId, releaseId: id, os: 'linux', arch: 'x64' }];
    created(await api.post(publisher.path('1.0.0', '/block'), { reason: 'Bad.' }));
    expect([await get(file), await get(bundle)]).toEqual([404, 404]);
    created(await api.post(publisher.path('1.0.0', '/unblock')));
    expect(await get(file)).toBe(200);
    expect((await api.get(path(file))).status).toBe(403);
    expect((await own.get(publisher.path('1.0.0', '/artifacts/linux/x64'))).status).toBe(403);
    const fresh = await publisher.publish('2.0.0');
    created(await publisher.upload('2.0.0', fresh.bytes));
    assigned = [
      {
        nodeId: node.nodeId,
        releaseId: (await api.get(publisher.path('2.0.0'))).body.id,
        os: 'linux',
        arch: 'x64',
      },
    ];
    expect(await get(fresh)).toBe(404);
  });
});
