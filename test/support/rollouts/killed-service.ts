import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { findFreePort } from '../../../src/common/database/embedded/free-port.js';
import type { Api } from '../api.js';
import type { ControlPlane } from '../control-plane.js';
import { createScratchDataDirectory, type ScratchDataDirectory } from '../scratch-data-directory.js';
import { buildService, type ServiceProcess, startService } from '../service-process.js';
import { createTestDatabase, type TestDatabase } from '../test-database.js';
import { stubbornApi } from './stubborn-api.js';

/** Two processes, each API and worker at once, that can be killed and started again, on one database. */
export class KilledService {
  kills = 0;
  isStopped = false;
  private readonly processes: ServiceProcess[] = [];
  private readonly owner: pg.Pool;
  private readonly ownerToken = `owner-${randomBytes(24).toString('base64url')}`;

  private constructor(
    private readonly directory: ScratchDataDirectory,
    private readonly testDatabase: TestDatabase,
    readonly urls: readonly string[],
    private readonly masterKey = randomBytes(32).toString('base64url'),
  ) {
    this.owner = new pg.Pool({ connectionString: testDatabase.ownerUrl, max: 2 });
    this.owner.on('error', () => undefined);
  }

  static async start(): Promise<KilledService> {
    await buildService();
    const urls = [await findFreePort(), await findFreePort()].map((port) => `http://127.0.0.1:${port}`);
    const service = new KilledService(await createScratchDataDirectory(), await createTestDatabase(), urls);
    try {
      for (const at of urls.keys()) service.processes[at] = await startService(service.env(at));
      return service;
    } catch (error) {
      await service.close();
      throw error;
    }
  }

  get database(): ControlPlane['database'] {
    return {
      query: async <T>(text: string, values: unknown[] = []) =>
        (await this.owner.query(text, values)).rows as T[],
    };
  }

  /** As the platform owner, by whichever instance answers. */
  get api(): Api {
    return stubbornApi(this, this.ownerToken);
  }

  /** Kills the two by turns, and starts each again. @throws when it had ended by itself */
  async killNext(): Promise<void> {
    const at = this.kills % this.processes.length;
    const { signal } = await (this.processes[at] as ServiceProcess).end('SIGKILL');
    if (signal !== 'SIGKILL') throw new Error(`it had ended: ${this.processes[at]?.output().slice(-2_000)}`);
    this.kills += 1;
    this.processes[at] = await startService(this.env(at));
  }

  /** For good. */
  async stop(): Promise<void> {
    this.isStopped = true;
    await Promise.all(this.processes.map((process) => process.end('SIGKILL')));
  }

  async close(): Promise<void> {
    await this.stop();
    await this.owner.end();
    await this.testDatabase.drop();
    await this.directory.remove();
  }

  private env(at: number): Record<string, string> {
    return {
      DATABASE_URL: this.testDatabase.appUrl,
      FABRIC_DATABASE_OWNER_URL: this.testDatabase.ownerUrl,
      FABRIC_MASTER_KEY: this.masterKey,
      FABRIC_BOOTSTRAP_TOKEN: this.ownerToken,
      FABRIC_DATA_DIR: this.directory.path,
      FABRIC_PUBLIC_URL: this.urls[0] ?? '',
      FABRIC_PUBLIC_URL_ALIASES: this.urls[1] ?? '',
      FABRIC_LIMIT_NODE_PER_MINUTE: '1000000',
      FABRIC_LIMIT_PRINCIPAL_PER_MINUTE: '1000000',
      FABRIC_LIMIT_UNKNOWN_PER_MINUTE: '1000000',
      PORT: new URL(this.urls[at] ?? '').port,
      LOG_LEVEL: 'error',
    };
  }
}
