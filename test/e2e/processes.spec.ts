import { randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { readPostgresCredentials } from '../../src/common/database/embedded/postgres-credentials.js';
import { type Api, apiClient } from '../support/api.js';
import { created, unique } from '../support/given.js';
import { createScratchDataDirectory, type ScratchDataDirectory } from '../support/scratch-data-directory.js';
import {
  buildService,
  runAdmin,
  runService,
  type ServiceProcess,
  startService,
} from '../support/service-process.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { until } from '../support/until.js';

const TIMEOUT_MS = 600_000;
const newKey = () => randomBytes(32).toString('base64url');

const running: ServiceProcess[] = [];
let scratch: ScratchDataDirectory;
beforeAll(async () => {
  await buildService();
  scratch = await createScratchDataDirectory();
}, TIMEOUT_MS);
afterEach(async () => {
  await Promise.all(running.splice(0).map((service) => service.end('SIGKILL')));
});
afterAll(() => scratch?.remove());

async function started(env: Record<string, string>): Promise<ServiceProcess> {
  const service = await startService(env);
  running.push(service);
  return service;
}

const embedded = (more: Record<string, string> = {}) => ({
  FABRIC_DATA_DIR: scratch.path,
  PORT: '0',
  ...more,
});
const ownerToken = async () => (await readFile(join(scratch.path, 'owner-token'), 'utf8')).trim();

/** Lines that are neither JSON logs nor about migrations. */
const spoken = (output: string): string[] =>
  output
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('{') && !line.startsWith('applied migration'));

/** The process that `postmaster.pid` names; null when no server runs. */
async function postmaster(): Promise<number | null> {
  const credentials = await readPostgresCredentials(scratch.path);
  const file = resolve(scratch.path, credentials?.directory ?? 'postgres', 'postmaster.pid');
  const text = await readFile(file, 'utf8').catch(() => null);
  return text === null ? null : Number.parseInt(text, 10);
}

describe('the service with its own Postgres', () => {
  it(
    'stops it last and without a complaint, and keeps its secrets to itself',
    async () => {
      const service = await started(embedded());
      expect((await stat(join(scratch.path, 'owner-token'))).mode & 0o777).toBe(0o600);
      expect((await stat(join(scratch.path, 'master-key'))).mode & 0o777).toBe(0o600);
      expect(await postmaster()).not.toBeNull();
      expect((await apiClient(service.url, await ownerToken()).get('//readyz')).body.status).toBe('ready');
      expect(await service.end('SIGTERM')).toEqual({ code: 0, signal: null });
      expect(await postmaster()).toBeNull();
      expect(service.output()).not.toMatch(/"level":"(warn|error|fatal)"/);
      expect(service.output()).not.toContain(await ownerToken());
    },
    TIMEOUT_MS,
  );

  it(
    'killed with -9, adopts it at the next start, and recovers one that was killed too',
    async () => {
      const first = await started(embedded());
      const pid = await postmaster();
      const slug = unique('survivor');
      created(await apiClient(first.url, await ownerToken()).post('/clusters', { name: 'Survivor', slug }));
      await first.end('SIGKILL');
      expect(await postmaster()).toBe(pid);

      const second = await started(embedded());
      expect(await postmaster()).toBe(pid);
      expect((await apiClient(second.url, await ownerToken()).get(`/clusters/${slug}`)).status).toBe(200);
      await second.end('SIGKILL');
      process.kill(pid ?? 0, 'SIGKILL');

      const third = await started(embedded());
      expect(await postmaster()).not.toBe(pid);
      expect((await apiClient(third.url, await ownerToken()).get(`/clusters/${slug}`)).status).toBe(200);
      expect(await third.end('SIGTERM')).toEqual({ code: 0, signal: null });
      expect(await postmaster()).toBeNull();
    },
    TIMEOUT_MS,
  );

  it(
    'names PORT when the port is taken, and leaves nothing running',
    async () => {
      const squatter = createServer().listen(0, '127.0.0.1');
      await new Promise((listening) => squatter.once('listening', listening));
      const { port } = squatter.address() as { port: number };
      try {
        const refused = await runService(embedded({ PORT: String(port), LOG_LEVEL: 'warn' }));
        expect(refused.code).toBe(1);
        expect(refused.output.trim()).toBe(
          `fabric: Port ${port} on 127.0.0.1 is taken; choose another with PORT=${port + 1}.`,
        );
        expect(await postmaster()).toBeNull();
      } finally {
        squatter.close();
      }
    },
    TIMEOUT_MS,
  );
});

describe('a wrong configuration', () => {
  it('is told line by line, one for each wrong variable, and never quotes a secret', async () => {
    const refused = await runService({
      PORT: 'abc',
      LOG_LEVEL: 'loud',
      DATABASE_URL: 'mysql://x',
      FABRIC_PUBLIC_URL_ALIASES: 'a,b,c',
      FABRIC_MASTER_KEY: 'secret-but-wrong',
    });
    expect(refused.code).toBe(1);
    const lines = spoken(refused.output);
    expect(lines).toHaveLength(5);
    for (const name of [
      'PORT',
      'LOG_LEVEL',
      'DATABASE_URL',
      'FABRIC_PUBLIC_URL_ALIASES',
      'FABRIC_MASTER_KEY',
    ]) {
      expect(lines.filter((line) => line.startsWith(`fabric: ${name} `))).toHaveLength(1);
    }
    expect(refused.output).not.toContain('secret-but-wrong');
  });

  it.each([
    ['that leads nowhere', 'postgres://u:sesame@127.0.0.1:1/x'],
    ['of a host that nobody knows', 'postgres://u:sesame@nowhere.invalid/x'],
  ])('of a database %s is told in one line, without the password', async (_, url) => {
    const refused = await runService({
      DATABASE_URL: url,
      FABRIC_DATABASE_OWNER_URL: url,
      FABRIC_MASTER_KEY: newKey(),
      FABRIC_DATA_DIR: scratch.path,
      PORT: '0',
    });
    expect(refused.code).toBe(1);
    expect(spoken(refused.output).at(-1)).toMatch(/^fabric: The database at \S+ cannot be reached/);
    expect(refused.output).not.toMatch(/sesame|\n {4}at /);
  });
});

describe('several processes on one Postgres', () => {
  let database: TestDatabase;
  let owner: pg.Client;
  const secrets = { key: newKey(), token: `owner-${newKey()}` };
  beforeAll(async () => {
    database = await createTestDatabase();
    owner = new pg.Client({ connectionString: database.ownerUrl });
    await owner.connect();
  });
  afterAll(async () => {
    await owner?.end();
    await database?.drop();
  });
  const external = (more: Record<string, string> = {}) => ({
    DATABASE_URL: database.appUrl,
    FABRIC_DATABASE_OWNER_URL: database.ownerUrl,
    FABRIC_MASTER_KEY: secrets.key,
    FABRIC_BOOTSTRAP_TOKEN: secrets.token,
    FABRIC_DATA_DIR: scratch.path,
    PORT: '0',
    LOG_LEVEL: 'trace',
    ...more,
  });

  it(
    'serve the same facts, do each piece of work once, and log no secret',
    async () => {
      const [one, two, worker] = await Promise.all([
        started(external({ FABRIC_ROLE: 'api' })),
        started(external({ FABRIC_ROLE: 'api' })),
        started(external({ FABRIC_ROLE: 'worker', PORT: '' })),
      ]);
      const [first, second] = [one, two].map(({ url }) => apiClient(url, secrets.token)) as [Api, Api];
      const cluster = created(await first.post('/clusters', { name: 'Shared', slug: unique('shared') })) as {
        id: string;
      };
      expect((await second.get(`/clusters/${cluster.id}`)).status).toBe(200);
      const joinToken = created(await second.post(`/clusters/${cluster.id}/join-tokens`, {})) as {
        token: string;
      };
      const apiToken = created(await first.post('/api-tokens', { name: 'x', role: 'auditor' })) as {
        id: string;
        token: string;
      };
      expect((await second.as(apiToken.token).get('/clusters')).status).toBe(200);
      await second.delete(`/api-tokens/${apiToken.id}`);
      expect((await first.as(apiToken.token).get('/clusters')).status).toBe(401);
      await first.post('/node-agents/enroll', { token: joinToken.token });

      // A node that has not been heard of for an hour: every reader knows, and the worker writes it down.
      const { rows } = await owner.query<{ id: string }>(
        `WITH node AS (INSERT INTO nodes (id) VALUES (gen_random_uuid()) RETURNING id)
         SELECT n.id FROM node AS n`,
      );
      const nodeId = rows[0]?.id ?? '';
      const member = [cluster.id, nodeId];
      await owner.query(
        `INSERT INTO cluster_memberships (cluster_id, node_id, name, os, arch) VALUES ($1, $2, 'lost', 'linux', 'x64')`,
        member,
      );
      await owner.query(
        `INSERT INTO node_liveness (cluster_id, node_id, last_seen_at, sequence) VALUES ($1, $2, now() - interval '1 h', 1)`,
        member,
      );
      expect((await second.get(`/clusters/${cluster.id}/nodes/${nodeId}`)).body.health).toBe('offline');
      const changes = () =>
        owner.query(`SELECT 1 FROM audit_events WHERE action = 'node.health_changed' AND resource_id = $1`, [
          nodeId,
        ]);
      expect((await until(changes, ({ rowCount }) => rowCount !== 0)).rowCount).toBe(1);

      const endings = await Promise.all([one, two, worker].map((service) => service.end('SIGTERM')));
      expect(endings).toEqual([0, 0, 0].map((code) => ({ code, signal: null })));
      const output = [one, two, worker].map((service) => service.output()).join('');
      expect(output).toContain('"level":"debug"');
      const password = `:${new URL(database.appUrl).password}@`;
      for (const secret of [secrets.key, secrets.token, joinToken.token, apiToken.token, password]) {
        expect(output).not.toContain(secret);
      }
    },
    TIMEOUT_MS,
  );

  it(
    'finish the request in flight, and end although its connection is kept alive',
    async () => {
      const service = await started(external());
      const api = apiClient(service.url, secrets.token);
      await owner.query('BEGIN');
      await owner.query('LOCK TABLE cluster_policies IN ACCESS EXCLUSIVE MODE');
      const pending = api.post('/clusters', { name: 'In flight', slug: unique('in-flight') });
      await until(
        () =>
          // To write: a sweep, which only reads there, may be waiting too, and before the request has even come.
          owner.query(`SELECT 1 FROM pg_locks WHERE relation = 'cluster_policies'::regclass AND NOT granted
                          AND mode = 'RowExclusiveLock'`),
        ({ rowCount }) => rowCount !== 0,
      );
      const ending = service.end('SIGTERM');
      await until(
        async () => service.output(),
        (output) => output.includes('Stopping'),
      );
      await owner.query('COMMIT');
      const answer = await pending;
      expect(answer.status).toBe(201);
      expect(await ending).toEqual({ code: 0, signal: null });
      expect(service.output()).not.toContain('were cut off');
      expect((await owner.query('SELECT 1 FROM clusters WHERE id = $1', [answer.body.id])).rowCount).toBe(1);
    },
    TIMEOUT_MS,
  );

  it(
    'take the word of fabric-admin that the database was restored in place: terms rise, and takeovers are held',
    async () => {
      const service = await started(external());
      const api = apiClient(service.url, secrets.token);
      const slug = unique('put-back');
      created(await api.post('/clusters', { name: 'Put back', slug }));
      const declared = await runAdmin(
        ['restored', '--reason', 'Volume of 09:00 put back.'],
        external({ LOG_LEVEL: '' }),
      );
      expect(declared.code).toBe(0);
      expect(spoken(declared.output)).toEqual(
        expect.arrayContaining([
          expect.stringMatching(new RegExp(`^${slug}: term 1 -> 2, takeovers are held until \\d{4}-`)),
          expect.stringMatching(/^The terms of \d+ clusters were raised/),
        ]),
      );
      const authority = created(await api.get(`/clusters/${slug}/authority`));
      expect(authority).toMatchObject({
        state: 'authoritative',
        term: 2,
        takeoversHeldUntil: expect.any(String),
      });
      expect((await api.get(`/audit/events?action=authority.term_raised&limit=1`)).body.items).toMatchObject([
        {
          actor: { type: 'system', id: 'fabric-admin', displayName: expect.stringMatching(/ on /) },
          reason: 'Volume of 09:00 put back.',
          highRisk: true,
          after: { term: 2, cause: 'restore_declared' },
        },
      ]);
    },
    TIMEOUT_MS,
  );

  it.each([
    ['an empty reason', ['restored', '--reason', ' '], '--reason is needed'],
    ['another command', ['restore', '--reason', 'x'], 'There is no such command'],
  ])('refuse fabric-admin with %s, and do nothing', async (_, args, message) => {
    const refused = await runAdmin(args, external());
    expect([refused.code, refused.output]).toEqual([2, expect.stringContaining(`fabric-admin: ${message}`)]);
  });
});
