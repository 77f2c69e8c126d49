import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { projectRoot } from '../../src/common/project-root.js';
import { createScratchDataDirectory } from '../support/scratch-data-directory.js';

/** Building comes first where nobody has built yet. */
const PATIENCE_MS = 600_000;
const UP = 'Stop with Ctrl-C.';

/** `npm start` without npm: the script becomes the service. */
class Service {
  output = '';
  private readonly process: ChildProcess;
  readonly ended: Promise<number | null>;

  constructor(settings: Record<string, string>) {
    const { PATH, HOME } = process.env;
    this.process = spawn(process.execPath, [join(projectRoot(), 'scripts', 'start.mjs')], {
      env: { PATH, HOME, PORT: '0', ...settings },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    }
    // Not at its exit: what it has printed last may come after that.
    this.ended = once(this.process, 'close').then(([code]) => code as number | null);
  }

  /** Resolves when it takes requests. @throws what it printed when it ended instead */
  async up(): Promise<this> {
    const isOver = this.ended.then(() => true);
    while (!this.output.includes(UP)) {
      const printed = once(this.process.stdout as NodeJS.ReadableStream, 'data').then(() => false);
      if (await Promise.race([printed, isOver])) throw new Error(this.output);
    }
    return this;
  }

  signal(name: NodeJS.Signals): void {
    this.process.kill(name);
  }
}

const sh = async (line: string) => JSON.parse((await promisify(execFile)('bash', ['-c', line])).stdout);
const curls = ({ output }: Service) => output.split('\n').filter((line) => line.startsWith('  curl '));

const actionsOf = (page: { items: { action: string }[] }) => page.items.map(({ action }) => action);

describe('npm start', () => {
  let data: Awaited<ReturnType<typeof createScratchDataDirectory>>;
  let service: Service;
  beforeAll(async () => {
    data = await createScratchDataDirectory();
    service = await new Service({ FABRIC_DATA_DIR: data.path }).up();
  }, PATIENCE_MS);
  afterAll(async () => {
    service.signal('SIGTERM');
    await service.ended;
    await data.remove();
  });

  it('prints three curl lines that work when pasted, and no secret', async () => {
    const [me = '', create = '', events = ''] = curls(service);
    expect(await sh(me)).toMatchObject({ bootstrap: true });
    expect(await sh(create)).toMatchObject({ slug: 'first-cluster' });
    expect(actionsOf(await sh(events))).toContain('cluster.created');
    expect(service.output).not.toMatch(/fabo_/);
  });

  it('says in one line, at once, that a data directory cannot be', async () => {
    const nowhere = new Service({ FABRIC_DATA_DIR: '/proc/fabric/data' });
    expect(await nowhere.ended).toBe(1);
    expect(nowhere.output.trim()).toMatch(
      /^fabric: The data directory \/proc\/fabric\/data cannot be used \(\w+\): .*FABRIC_DATA_DIR\.$/,
    );
  });

  it('says in one line that another copy uses the data directory', async () => {
    const second = new Service({ FABRIC_DATA_DIR: data.path });
    expect(await second.ended).toBe(1);
    expect(second.output.trim()).toMatch(
      /^fabric: Another copy of the service \(process \d+\).*FABRIC_DATA_DIR\.$/,
    );
  });

  it('names every wrong variable in a line of its own', async () => {
    const wrong = new Service({ FABRIC_DATA_DIR: data.path, PORT: 'x', FABRIC_ROLE: 'y' });
    expect(await wrong.ended).toBe(1);
    expect(wrong.output.trim().split('\n')).toEqual([
      'fabric: FABRIC_ROLE must be one of all, api, worker',
      'fabric: PORT must be a port number from 0 to 65535',
    ]);
  });

  it(
    'goes on where it was after kill -9, and refuses another master key',
    async () => {
      service.signal('SIGKILL');
      await service.ended;
      const other = Buffer.alloc(32, 7).toString('base64url');
      const wrong = new Service({ FABRIC_DATA_DIR: data.path, FABRIC_MASTER_KEY: other });
      expect(await wrong.ended).toBe(1);
      expect(wrong.output).toMatch(/fabric: FABRIC_MASTER_KEY is not the key of this database/);
      service = await new Service({ FABRIC_DATA_DIR: data.path }).up();
      expect(actionsOf(await sh(curls(service)[2] ?? ''))).toContain('cluster.created');
    },
    PATIENCE_MS,
  );

  it(
    'prints nothing that needs the owner token when there is none',
    async () => {
      service.signal('SIGTERM');
      await service.ended;
      service = await new Service({ FABRIC_DATA_DIR: data.path, FABRIC_BOOTSTRAP_TOKEN: 'disabled' }).up();
      expect(service.output).toMatch(/Owner token +disabled/);
      const [ready = '', address = '', ...more] = curls(service);
      expect(await sh(ready)).toMatchObject({ status: 'ready' });
      expect(await sh(address)).toMatchObject({ apiBase: expect.any(String) });
      expect(more).toEqual([]);
      expect(service.output).not.toMatch(/Authorization/);
    },
    PATIENCE_MS,
  );

  it(
    'stops at Ctrl-C, also when it comes twice, and ends with 0',
    async () => {
      const url = /URL\s+(\S+)/.exec(service.output)?.[1];
      expect((await fetch(`${url}/readyz`)).status).toBe(200);
      service.signal('SIGINT');
      service.signal('SIGINT');
      expect(await service.ended).toBe(0);
      await expect(fetch(`${url}/livez`)).rejects.toThrow();
      service = await new Service({ FABRIC_DATA_DIR: data.path }).up();
    },
    PATIENCE_MS,
  );
});
