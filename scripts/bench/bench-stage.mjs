import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import pg from 'pg';
import { Actor } from '../lib/demo-stage.mjs';
import { freePort } from '../lib/free-port.mjs';
import { inRoot } from '../lib/project.mjs';
import { Failure } from '../lib/run.mjs';
import { LoadWorker } from './load-worker.mjs';

/** No limit of requests stands in the way of the load. */
const UNLIMITED = '9999999';
const PATIENCE_MS = 60_000;
/** How long a process gets to give back what its collector has freed. */
const COLLECT_MS = 700;

/** Where the benchmark runs: a throw-away directory, the built service, bare Fastify, the load, the database. */
export class BenchStage {
  load = new LoadWorker();
  /** As the owner of the tables, to make rows that no API would make so fast. */
  database = null;
  /** Of everything that is written. */
  directory = mkdtempSync(join(tmpdir(), 'fabric-bench-'));
  #actors = [];
  #profile;

  /** @param {string | null} profile directory for a CPU profile of the service */
  constructor(profile) {
    this.#profile = profile;
    // The user that Postgres runs as where root started this passes through, and sees nothing.
    chmodSync(this.directory, 0o711);
  }

  /** Starts the service, or starts it anew on the same data. */
  async startService() {
    await this.database?.end();
    await this.service?.stop();
    const data = join(this.directory, 'data');
    this.port ??= await freePort();
    this.url = `http://127.0.0.1:${this.port}`;
    const profiling =
      this.#profile === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${resolve(this.#profile)}`];
    this.service = this.#start('the service', [...profiling, inRoot('dist/src/main.js')], {
      FABRIC_DATA_DIR: data,
      FABRIC_LIMIT_NODE_PER_MINUTE: UNLIMITED,
      FABRIC_LIMIT_PRINCIPAL_PER_MINUTE: UNLIMITED,
      FABRIC_LIMIT_UNKNOWN_PER_MINUTE: UNLIMITED,
      PORT: String(this.port),
      LOG_LEVEL: 'warn',
    });
    await this.service.until('come up', (line) => line.includes('is up.'));
    this.ownerToken = readFileSync(join(data, 'owner-token'), 'utf8').trim();
    const { port, owner, app } = JSON.parse(readFileSync(join(data, 'postgres-credentials.json'), 'utf8'));
    this.ownerUrl = `postgres://fabric_owner:${owner}@127.0.0.1:${port}/fabric`;
    this.appUrl = `postgres://fabric_app:${app}@127.0.0.1:${port}/fabric`;
    this.database = new pg.Client({ connectionString: this.ownerUrl, application_name: 'fabric-bench' });
    this.database.on('error', () => {});
    await this.database.connect();
  }

  /** Starts what the service is compared with, or starts it anew. */
  async startBareFastify() {
    await this.bare?.stop();
    this.bare = this.#start('bare Fastify', [inRoot('scripts/bench/bare-fastify.mjs')], {
      NODE_ENV: 'production',
    });
    this.barePort = await this.bare.until(
      'come up',
      (line) => Number(/is up on port (\d+)/.exec(line)?.[1]) || null,
    );
  }

  /** Calls the API as the platform owner. */
  async call(method, path, body) {
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.ownerToken}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Failure(`${method} ${path} answered ${response.status}: ${text}`);
    return text === '' ? null : JSON.parse(text);
  }

  /** Sends the bytes of a file as the platform owner. */
  async upload(path, bytes) {
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${this.ownerToken}`, 'content-type': 'application/octet-stream' },
      body: bytes,
    });
    if (!response.ok) throw new Failure(`PUT ${path} answered ${response.status}: ${await response.text()}`);
  }

  /** Waits until the service holds so many polls. */
  async holds(count) {
    await this.#see(`${count} polls are held`, async () => {
      const text = await (await fetch(`${this.url}/metrics`)).text();
      return Number(/^fabric_held_polls (\d+)/m.exec(text)?.[1]) === count;
    });
  }

  /** Waits until bare Fastify holds so many requests. */
  async bareHolds(count) {
    await this.#see(`${count} requests are held`, async () => {
      const answer = await fetch(`http://127.0.0.1:${this.barePort}/held/count`);
      return (await answer.json()).held === count;
    });
  }

  /** Resident memory of a process after a collection, in bytes; null where /proc does not tell. */
  async memoryOf({ process: { pid } }) {
    if (process.platform !== 'linux') return null;
    for (let n = 0; n < 2; n += 1) {
      process.kill(pid, 'SIGUSR2');
      await new Promise((resolve) => setTimeout(resolve, COLLECT_MS));
    }
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
  }

  /** Ends everything, and leaves nothing behind. Repeatable. */
  async close() {
    await this.load.close();
    await this.database?.end().catch(() => {});
    for (const actor of this.#actors.reverse()) await actor.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #see(what, look) {
    const deadline = Date.now() + PATIENCE_MS;
    while (!(await look())) {
      if (Date.now() > deadline) throw new Failure(`It took too long until ${what}.`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  #start(name, args, settings) {
    const preload = pathToFileURL(inRoot('scripts/bench/collect-on-signal.mjs')).href;
    const env = { ...withoutSettings(process.env), ...settings };
    const actor = new Actor(name, ['--expose-gc', '--import', preload, ...args], env);
    this.#actors.push(actor);
    return actor;
  }
}

/** The benchmark stands alone: an installation's settings must not reach it. */
function withoutSettings(env) {
  const foreign = /^(FABRIC_|OIDC_|DATABASE_URL$|REDIS_URL$|HOST$|PORT$|PG[A-Z]+$|NODE_OPTIONS$)/;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !foreign.test(name)));
}
