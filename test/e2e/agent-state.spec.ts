import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { StateStore } from '../../agent/state-store.js';
import { ServiceFiles } from '../../agent/supervisor/service-files.js';
import { projectRoot } from '../../src/common/project-root.js';
import { buildService } from '../support/service-process.js';

const TIMEOUT_MS = 300_000;
const KILLS = 12;

/** Writes as an agent does, each file of one piece of many sizes, as fast as it can, until it is killed. */
const WRITER = `
  import { StateStore } from './dist/agent/state-store.js';
  import { ServiceFiles } from './dist/agent/supervisor/service-files.js';
  const [directory] = process.argv.slice(1);
  const store = new StateStore(directory);
  await store.prepare();
  const files = new ServiceFiles(store.workloadsDirectory + '/relay-node');
  for (let round = 0; ; round += 1) {
    const text = String(round % 10).repeat(1 + (round % 7) * 20_000);
    await Promise.all([
      store.writeSnapshot({ jws: text, etag: null, receivedAt: text }),
      store.writeContact({ lastContactAt: text, clockOffsetMs: round }),
      files.prepare({ config: { one: text, other: text }, secretRefs: { one: text, other: text } }),
    ]);
    if (round === 0) process.stdout.write('ready');
  }`;

let directory: string;
beforeAll(async () => {
  await buildService();
  directory = await mkdtemp(join(tmpdir(), 'agent-state-'));
}, 300_000);
afterAll(() => rm(directory, { recursive: true, force: true }));

it(
  'the state of an agent is whole and small after each of many kills with -9 in the midst of writing',
  async () => {
    const store = new StateStore(directory);
    const folder = join(store.workloadsDirectory, 'relay-node');
    for (let kill = 0; kill < KILLS; kill += 1) {
      const args = ['--input-type=module', '-e', WRITER, directory];
      const writer = spawn(process.execPath, args, {
        cwd: projectRoot(),
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(writer.stdout, 'data');
      await sleep(kill * 7); // at another point each time
      writer.kill('SIGKILL');
      await once(writer, 'exit');

      const snapshot = await store.readSnapshot();
      expect(snapshot?.jws).toBe(snapshot?.receivedAt);
      expect(await store.readContact()).toEqual(expect.anything());
      for (const file of ['config.json', 'secret-refs.json']) {
        const { one, other } = JSON.parse(await readFile(join(folder, file), 'utf8'));
        expect(one).toBe(other);
      }
      await store.prepare();
      await new ServiceFiles(folder).sweep();
      expect((await readdir(directory)).sort()).toEqual([
        'contact.json',
        'keys',
        'snapshot.json',
        'workloads',
      ]);
      expect((await readdir(folder)).sort()).toEqual(['config.json', 'secret-refs.json']);
    }
  },
  TIMEOUT_MS,
);
