import { once } from 'node:events';
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import {
  createScratchDataDirectory,
  type ScratchDataDirectory,
} from '../../../../test/support/scratch-data-directory.js';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.js';
import { postgresCredentialsFile, readPostgresCredentials } from './postgres-credentials.js';
import { findPostmaster } from './postmaster.js';

let scratch: ScratchDataDirectory;
let dataDir: string;
let postgres: EmbeddedPostgres;
let lines: string[];

async function start(): Promise<EmbeddedPostgres> {
  lines = [];
  postgres = await startEmbeddedPostgres({ dataDir, log: (line) => lines.push(line) });
  return postgres;
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows.flatMap((row) => Object.values(row));
  } finally {
    await client.end();
  }
}

/** Ends the server as a power cut would. */
async function kill(): Promise<number> {
  const { pid } = (await findPostmaster(postgres.directory)) ?? { pid: 0 };
  process.kill(pid, 'SIGKILL');
  return pid;
}

const portOf = (url: string): number => Number(new URL(url).port);

beforeAll(async () => {
  scratch = await createScratchDataDirectory();
  dataDir = scratch.path;
});

afterAll(() => scratch.remove());

/** One database, through the days of its life: making one takes more than a second. */
describe('the embedded Postgres', () => {
  it('is made in the data directory, in UTF-8 although no locale is set', async () => {
    const kept = { ...process.env };
    for (const name of Object.keys(process.env)) if (/^(LANG|LC_)/.test(name)) delete process.env[name];
    await start();
    Object.assign(process.env, kept);

    expect(postgres).toMatchObject({ adopted: false, directory: join(dataDir, 'postgres') });
    expect(lines).toContainEqual(`Making the database in ${postgres.directory}.`);
    expect(await query(postgres.appUrl, 'SHOW server_encoding')).toEqual(['UTF8']);
    expect(await query(postgres.appUrl, `SELECT upper('ärger π')`)).toEqual(['ÄRGER Π']);
  });

  it('listens on the loopback interface only', async () => {
    expect(await query(postgres.appUrl, 'SHOW listen_addresses')).toEqual(['127.0.0.1']);
    const pidFile = (await readFile(join(postgres.directory, 'postmaster.pid'), 'utf8')).split('\n');
    expect(pidFile[4]).toBe(''); // the directory of the Unix sockets
  });

  it('keeps its passwords in a file for its owner alone', async () => {
    const file = postgresCredentialsFile(dataDir);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const { owner, app } = (await readPostgresCredentials(dataDir)) ?? {};
    expect([owner, app]).toEqual([new URL(postgres.ownerUrl).password, new URL(postgres.appUrl).password]);
  });

  it('lets in nobody without the password', async () => {
    const url = postgres.appUrl.replace(/:[^:@]+@/, ':wrong@');
    await expect(query(url, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
  });

  it('has an owner that migrates and an application role that owns nothing, both no superusers', async () => {
    await query(postgres.ownerUrl, 'CREATE SCHEMA elsewhere');
    await query(postgres.ownerUrl, 'CREATE TABLE kept AS SELECT 7 AS number');
    await query(postgres.ownerUrl, 'GRANT SELECT ON kept TO fabric_app');
    await expect(query(postgres.appUrl, 'CREATE TABLE mine (id int)')).rejects.toMatchObject({
      code: '42501',
    });
    await expect(query(postgres.appUrl, 'CREATE SCHEMA mine')).rejects.toMatchObject({ code: '42501' });
    const roles =
      'SELECT rolname, rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = ANY';
    expect(
      await query(postgres.ownerUrl, `${roles} (ARRAY['fabric_app', 'fabric_owner']) ORDER BY rolname`),
    ).toEqual(['fabric_app', false, 'fabric_owner', false]);
  });

  it('is adopted while it runs', async () => {
    const { appUrl } = postgres;
    await start();
    expect(postgres).toMatchObject({ adopted: true, appUrl });
    expect(await query(postgres.appUrl, 'SELECT number FROM kept')).toEqual([7]);
  });

  it('recovers from kill -9 with its data', async () => {
    await kill();
    await start();
    expect(postgres.adopted).toBe(false);
    expect(await query(postgres.appUrl, 'SELECT number FROM kept')).toEqual([7]);
  });

  it('is not taken in by its old number when another process has that now', async () => {
    const killed = await kill();
    const file = join(postgres.directory, 'postmaster.pid');
    await writeFile(file, (await readFile(file, 'utf8')).replace(String(killed), String(process.pid)));
    await start();
    expect(postgres.adopted).toBe(false);
    expect(await query(postgres.appUrl, 'SELECT number FROM kept')).toEqual([7]);
  });

  it('stops, as often as asked', async () => {
    await Promise.all([postgres.stop(), postgres.stop()]);
    await postgres.stop();
    expect(await findPostmaster(postgres.directory)).toBeNull();
    await expect(query(postgres.appUrl, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('comes back on its old port, and on another one when a stranger has that', async () => {
    const before = portOf(postgres.appUrl);
    expect(portOf((await start()).appUrl)).toBe(before);
    await postgres.stop();

    const stranger = createServer().listen(before, '127.0.0.1');
    await once(stranger, 'listening');
    await start();
    stranger.close();
    expect(portOf(postgres.appUrl)).not.toBe(before);
    expect(lines).toEqual([`Port ${before} is taken: Postgres has moved to ${portOf(postgres.appUrl)}.`]);
    expect((await readPostgresCredentials(dataDir))?.port).toBe(portOf(postgres.appUrl));
    expect(await query(postgres.appUrl, 'SELECT number FROM kept')).toEqual([7]);
  });

  it('reads settings of the operator', async () => {
    await postgres.stop();
    await writeFile(join(postgres.directory, 'local.conf'), "work_mem = '7MB'\n", { mode: 0o644 });
    await start();
    expect(await query(postgres.appUrl, 'SHOW work_mem')).toEqual(['7MB']);
  });

  it('says in one line why it does not start', async () => {
    await postgres.stop();
    const file = join(postgres.directory, 'local.conf');
    await writeFile(file, 'no_such_setting = 1\n', { mode: 0o644 });
    await expect(start()).rejects.toThrow(
      /^Postgres did not start .*: configuration file .*local\.conf.* contains errors$/,
    );
    await rm(file);
  });

  it('refuses to go on without its passwords or without its files, and makes neither anew', async () => {
    const file = postgresCredentialsFile(dataDir);
    await rename(file, `${file}.aside`);
    await expect(start()).rejects.toThrow(/passwords in .*postgres-credentials\.json are missing/);
    await rename(`${file}.aside`, file);

    await rename(postgres.directory, `${postgres.directory}.aside`);
    await expect(start()).rejects.toThrow(/is missing from .*postgres: restore it/);
    await rename(`${postgres.directory}.aside`, postgres.directory);
    expect(await query((await start()).appUrl, 'SELECT number FROM kept')).toEqual([7]);
  });
});
