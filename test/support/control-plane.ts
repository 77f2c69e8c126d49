import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import pg from 'pg';
import { createApp, listen } from '../../src/app.js';
import { type Config, loadConfig, type RateLimits } from '../../src/common/config/config.js';
import type { Runtime } from '../../src/common/config/runtime.js';
import { type Api, apiClient } from './api.js';
import { createTestDatabase } from './test-database.js';

/** What a test may want other than the defaults. */
export interface ControlPlaneOptions {
  /** Share the database of another instance, or use one that the test has made. */
  beside?: Pick<ControlPlane, 'ownerToken'> & { runtime: Pick<Runtime, 'database' | 'masterKey'> };
  config?: Partial<Omit<Config, 'limits'>> & { limits?: Partial<RateLimits> };
}

/** A test that waits asks again and again; how often must not depend on how long it takes. */
const UNLIMITED: RateLimits = {
  principalPerMinute: 1e6,
  nodePerMinute: 1e6,
  unknownCredentialsPerMinute: 1e6,
};

/** On a busy machine a connection may come late; that is no matter of what a test is about. */
const CONNECTION_WAIT_MS = 60_000;

/** A running instance of the real service on a real database of its own. */
export interface ControlPlane {
  url: string;
  ownerToken: string;
  /** Calls with the platform owner's bootstrap token. */
  api: Api;
  app: NestFastifyApplication;
  runtime: Runtime;
  /** The database as its owner, for looking at rows. */
  database: { query<T = Record<string, unknown>>(text: string, values?: unknown[]): Promise<T[]> };
  close(): Promise<void>;
}

/** Starts the service on a free port, without rate limits. It fails on an answer that is not as it is declared. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const { beside } = options;
  process.env.FABRIC_VERIFY_RESPONSES = '1';
  const own = beside === undefined ? await createTestDatabase() : null;
  const database = beside?.runtime.database ?? {
    appUrl: own?.appUrl ?? '',
    directUrl: own?.appUrl ?? '',
    ownerUrl: own?.ownerUrl ?? '',
  };
  const ownerToken = beside?.ownerToken ?? `owner-${randomBytes(24).toString('base64url')}`;
  const masterKey = beside?.runtime.masterKey ?? randomBytes(32).toString('base64url');
  const defaults = loadConfig({ PORT: '0', LOG_LEVEL: process.env.LOG_LEVEL ?? 'fatal' });
  const limits = { ...UNLIMITED, ...options.config?.limits };
  // Nothing is made there before a test uploads something.
  const files = join(tmpdir(), `fabric-test-${randomBytes(8).toString('hex')}`);
  const artifacts = { ...defaults.artifacts, store: { kind: 'directory' as const, path: files } };
  const config: Config = { ...defaults, artifacts, ...options.config, limits };
  const runtime: Runtime = {
    config,
    database,
    masterKey,
    bootstrapToken: ownerToken,
    version: '0.0.0-test',
    connectionWaitMs: CONNECTION_WAIT_MS,
  };
  const app = await createApp(runtime);
  const { port } = await listen(app, runtime);
  const url = `http://127.0.0.1:${port}`;
  const owner = new pg.Pool({ connectionString: database.ownerUrl, max: 4 });
  // A database that is dropped takes idle connections with it; that is no failure of the test.
  owner.on('error', () => undefined);
  return {
    url,
    ownerToken,
    api: apiClient(url, ownerToken),
    app,
    runtime,
    database: {
      query: async <T>(text: string, values: unknown[] = []) => (await owner.query(text, values)).rows as T[],
    },
    close: async () => {
      await app.close();
      await owner.end();
      await own?.drop();
      await rm(files, { recursive: true, force: true });
    },
  };
}
