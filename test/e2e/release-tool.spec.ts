import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { projectRoot } from '../../src/common/project-root.js';
import { apiClient } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, unique } from '../support/given.js';
import { migrationOf, Publisher, testFile } from '../support/publisher.js';
import { buildService, runReleaseTool, startService } from '../support/service-process.js';
import { createTestDatabase } from '../support/test-database.js';
import { until } from '../support/until.js';

/** The service is compiled first where that is not done. */
const BUILD_MS = 240_000;
const TIMEOUT_MS = 300_000;

let controlPlane: ControlPlane;
let folder: string;
beforeAll(async () => {
  await buildService();
  controlPlane = await startControlPlane();
  folder = await mkdtemp(join(tmpdir(), 'fabric-release-'));
}, BUILD_MS);
afterAll(async () => {
  await controlPlane?.close();
  await rm(folder, { recursive: true, force: true });
});

const at = (name: string) => join(folder, name);
const text = (name: string) => readFile(at(name), 'utf8');

/** Runs a command that is to succeed. */
async function run(...args: string[]): Promise<string> {
  const { code, output } = await runReleaseTool(args, { FABRIC_TOKEN: controlPlane.ownerToken });
  if (code !== 0) throw new Error(`fabric-release ${args.join(' ')}: ${output}`);
  return output;
}

/** Runs a command that is to be refused. */
async function refused(...args: string[]): Promise<string> {
  const { code, output } = await runReleaseTool(args, { FABRIC_TOKEN: controlPlane.ownerToken });
  return `${code} ${output}`;
}

async function product(signatureThreshold: number): Promise<string> {
  const name = unique('product');
  created(await controlPlane.api.post('/products', { name, kind: 'workload', signatureThreshold }));
  return name;
}

/** Makes a key by the tool and registers it. */
async function person(name: string, of: string, type: string): Promise<void> {
  await run('keygen', '--out', at(name), '--type', type);
  const publicKey = JSON.parse(await text(`${name}.pub.json`));
  created(await controlPlane.api.post('/signing-keys', { name, publicKey, products: [of] }));
}

/** Runs the recipe of docs/releases.md, as it stands there. */
async function recipe(env: Record<string, string>): Promise<string> {
  const guide = await readFile(join(projectRoot(), 'docs', 'releases.md'), 'utf8');
  const script = /```sh\n([\s\S]*?)```/.exec(guide)?.[1] ?? 'exit 9';
  const { PATH = '' } = process.env;
  return promisify(execFile)('sh', ['-c', script], { cwd: folder, env: { PATH, ...env } }).then(
    ({ stdout, stderr }) => stdout + stderr,
    ({ stdout, stderr }: { stdout: string; stderr: string }) => `refused: ${stdout}${stderr}`,
  );
}

it('is made so that npx can run it, as are the other commands', async () => {
  const { bin } = JSON.parse(await readFile(join(projectRoot(), 'package.json'), 'utf8')) as {
    bin: Record<string, string>;
  };
  for (const path of Object.values(bin))
    expect((await stat(join(projectRoot(), path))).mode & 0o111).toBe(0o111);
});

describe('fabric-release', () => {
  it(
    'leads two people from their keys to a release that is served, and openssl finds their signatures good',
    async () => {
      const name = await product(2);
      await person('ada', name, 'ed25519');
      await person('ben', name, 'p256');
      expect((await stat(at('ada'))).mode & 0o777).toBe(0o600);
      const bytes = randomBytes(300_000);
      const bundle = testFile();
      await writeFile(at('service-1.4.0.tar.gz'), bytes);
      await writeFile(at('state.bundle'), bundle.bytes);
      await writeFile(at('migrations.json'), JSON.stringify([{ ...migrationOf(bundle), bundle: undefined }]));
      const envelope = at('release.dsse.json');
      const files = [
        '--artifact',
        `linux/x64=${at('service-1.4.0.tar.gz')}`,
        '--bundle',
        `state-2=${at('state.bundle')}`,
      ];
      const manifest = ['--product', name, '--version', '1.4.0', '--migrations', at('migrations.json')];
      const told = await run('sign', '--out', envelope, ...manifest, ...files, '--key', at('ada'));
      expect(told).toContain(`linux/x64 service-1.4.0.tar.gz 300000`);
      const keys = ['--key', at('ada.pub.json'), '--key', at('ben.pub.pem')];
      const verify = ['verify', '--envelope', envelope, ...keys, '--threshold', '2'];
      expect(await refused(...verify)).toContain('1 of these keys have signed, and 2 are wanted');
      expect(await refused('publish', '--envelope', envelope, ...files, '--url', controlPlane.url)).toContain(
        'signature_threshold_not_met',
      );
      await run('sign', '--envelope', envelope, ...files, '--key', at('ben'));
      expect(await run(...verify, '--files', ...files)).toContain(`${name} 1.4.0 is good`);

      for (const [key, n] of [
        ['ada', '1'],
        ['ben', '2'],
      ] as const)
        expect(await recipe({ ENVELOPE: envelope, KEY: at(`${key}.pub.pem`), N: n })).toMatch(
          /Signature Verified Successfully|Verified OK/,
        );
      expect(await recipe({ ENVELOPE: envelope, KEY: at('ada.pub.pem'), N: '2' })).toContain('refused');
      const published = await run('publish', '--envelope', envelope, ...files, '--url', controlPlane.url);
      expect(published).toContain('artifacts/linux/x64 uploaded');
      const again = await run('publish', '--envelope', envelope, ...files, '--url', `${controlPlane.url}/`);
      expect(again).toContain('migrations/state-2/bundle was there');

      const path = `/products/${name}/releases/1.4.0`;
      created(await controlPlane.api.post(`${path}/approve`));
      expect((await controlPlane.api.get(path)).body).toMatchObject({ status: 'approved', complete: true });
      const served = await fetch(`${controlPlane.url}/api/v1${path}/artifacts/linux/x64`, {
        headers: { authorization: `Bearer ${controlPlane.ownerToken}` },
      });
      expect(Buffer.from(await served.arrayBuffer()).equals(bytes)).toBe(true);
      const kept = await fetch(`${controlPlane.url}/api/v1${path}/envelope`, {
        headers: { authorization: `Bearer ${controlPlane.ownerToken}` },
      });
      expect(await kept.text()).toBe(await text('release.dsse.json'));
    },
    TIMEOUT_MS,
  );

  it(
    'refuses what is not as it was signed, before it sends anything',
    async () => {
      const name = await product(1);
      await person('cara', name, 'ed25519');
      await writeFile(at('good.zip'), randomBytes(1000));
      const envelope = at('cara.dsse.json');
      const manifest = ['--product', name, '--version', '1.0.0', '--artifact', `linux/x64=${at('good.zip')}`];
      await run('sign', '--out', envelope, ...manifest, '--key', at('cara'));
      expect(await refused('sign', '--out', envelope, ...manifest, '--key', at('cara'))).toMatch(
        /^1 .*is there already/,
      );
      expect(await refused('keygen', '--out', at('cara'))).toMatch(/^1 .*cannot be written/);

      await writeFile(at('other.zip'), randomBytes(1000));
      const other = ['--artifact', `linux/x64=${at('other.zip')}`];
      for (const command of [
        ['sign', '--key', at('cara')],
        ['publish', '--url', controlPlane.url],
        ['verify', '--key', at('cara.pub.pem'), '--files'],
      ]) {
        const said = await refused(...command, '--envelope', envelope, ...other);
        expect(said).toMatch(/^1 [\s\S]*other\.zip is not the file of the manifest/);
      }
      expect((await controlPlane.api.get(`/products/${name}/releases`)).body.items).toEqual([]);

      const changed = JSON.parse(await text('cara.dsse.json'));
      const payload = Buffer.from(changed.payload, 'base64').toString().replace('1.0.0', '1.0.1');
      await writeFile(
        at('changed.json'),
        JSON.stringify({ ...changed, payload: Buffer.from(payload).toString('base64') }),
      );
      const forged = await refused('verify', '--envelope', at('changed.json'), '--key', at('cara.pub.json'));
      expect(forged).toMatch(/^1 .*is not by that key/);
      expect(
        await refused(
          'publish',
          '--envelope',
          at('changed.json'),
          '--artifact',
          `linux/x64=${at('good.zip')}`,
          '--url',
          controlPlane.url,
        ),
      ).toContain('signature_invalid');

      // Another release under a version that is there already is not gone on with.
      await run('publish', '--envelope', envelope, '--url', controlPlane.url);
      const second = [...manifest.slice(0, 4), ...other];
      await run('sign', '--out', at('second.json'), ...second, '--key', at('cara'));
      expect(await refused('publish', '--envelope', at('second.json'), '--url', controlPlane.url)).toMatch(
        /^1 .*already, with another manifest/,
      );
    },
    TIMEOUT_MS,
  );

  it(
    'says in one line what is wrong with a command, a key or a manifest',
    async () => {
      const sealed = await runReleaseTool(['keygen', '--out', at('sealed')], {
        FABRIC_KEY_PASSPHRASE: 'correct horse',
      });
      expect(sealed.code).toBe(0);
      expect(await text('sealed')).toContain('BEGIN ENCRYPTED PRIVATE KEY');
      await writeFile(at('bad name.zip'), 'x');
      const sign = (version: string, file: string) =>
        refused(
          'sign',
          '--out',
          at('x.json'),
          '--product',
          'p',
          '--version',
          version,
          '--artifact',
          `linux/x64=${at(file)}`,
          '--key',
          at('sealed'),
        );
      expect(await sign('1.0.0', 'good.zip')).toMatch(/^1 .*set FABRIC_KEY_PASSPHRASE/s);
      expect(await sign('v1.0', 'good.zip')).toMatch(/^1 .*#\/version: Must be a version/);
      expect(await sign('1.0.0', 'bad name.zip')).toMatch(/^1 .*#\/artifacts\/0\/fileName/);
      expect(await sign('1.0.0', 'absent.zip')).toMatch(/^1 .*ENOENT/);
      expect(await refused('release')).toMatch(/^2 .*there is no command "release"/);
      expect(await refused('sign', '--out', 'x')).toMatch(/^2 .*--key is needed/);
      expect(await refused('keygen', '--out', at('k'), '--type', 'rsa')).toMatch(/^2 .*ed25519 or p256/);
      expect(await refused('publish', '--envelope', 'x', '--url', 'ftp://x')).toMatch(/^2 .*--url/);
    },
    TIMEOUT_MS,
  );
});

describe('a service that is killed in the middle of an upload', () => {
  it(
    'leaves no part of the file that could be taken for it, and nothing that stays',
    async () => {
      const database = await createTestDatabase();
      const token = randomBytes(24).toString('base64url');
      const store = at('crash');
      const env = {
        DATABASE_URL: database.appUrl,
        FABRIC_DATABASE_OWNER_URL: database.ownerUrl,
        FABRIC_MASTER_KEY: randomBytes(32).toString('base64url'),
        FABRIC_BOOTSTRAP_TOKEN: token,
        FABRIC_ARTIFACT_STORE: store,
        FABRIC_DATA_DIR: at('crash-data'),
        PORT: '0',
      };
      let service = await startService(env);
      try {
        let publisher = await Publisher.make(apiClient(service.url, token));
        const file = await publisher.publish('1.0.0', testFile(randomBytes(1_000_000)));
        const path = `/api/v1${publisher.path('1.0.0', '/artifacts/linux/x64')}`;
        const call = request(`${service.url}${path}`, {
          method: 'PUT',
          headers: { authorization: `Bearer ${token}`, 'content-length': String(file.size) },
        });
        call.on('error', () => undefined);
        call.write(file.bytes.subarray(0, 500_000));
        const [half] = await until(
          () => readdir(join(store, 'incoming')).catch((): string[] => []),
          ({ length }) => length === 1,
        );
        await service.end('SIGKILL');
        expect(await readdir(store)).toEqual(['incoming']);
        // As if the service had been away for two hours.
        const then = new Date(Date.now() - 2 * 3_600_000);
        await utimes(join(store, 'incoming', half as string), then, then);
        service = await startService(env);
        expect(await readdir(join(store, 'incoming'))).toEqual([]);
        publisher = publisher.through(apiClient(service.url, token));
        expect((await publisher.upload('1.0.0', file.bytes)).status).toBe(201);
        expect(await readdir(join(store, 'sha256', file.sha256.slice(0, 2)))).toEqual([file.sha256]);
      } finally {
        await service.end('SIGTERM');
        await database.drop();
      }
    },
    TIMEOUT_MS,
  );
});
