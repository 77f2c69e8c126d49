import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { appendFile, chmod, chown, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { APP_ROLE, createFabricRoles, OWNER_ROLE } from '../../src/common/database/embedded/fabric-roles.js';
import { findFreePort } from '../../src/common/database/embedded/free-port.js';
import { preparePostgresBinaries } from '../../src/common/database/embedded/postgres-binaries.js';
import { runCommand, type SystemUser } from '../../src/common/database/embedded/run-command.js';
import { ensureServiceUser } from '../../src/common/database/embedded/service-user.js';
import { released, watchdog } from './watchdog.js';

/** Debian's `faketime`, where it is installed: it moves the clock of a process that is running. */
const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1';
export const canMoveClocks = existsSync(FAKETIME);

/** For a server that comes up on a busy machine, with what it has to recover. */
const PATIENCE_MS = 120_000;

/** Environment under which a program's wall clock is `file`'s offset away from the host's; its monotonic one is not. */
export function movedClock(file: string): Record<string, string> {
  return {
    LD_PRELOAD: FAKETIME,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
  };
}

/** A durable Postgres that can be killed, paused, set to another time, and replaced by a standby that lags behind. */
export class ChaosPostgres {
  private server: ChildProcess | null = null;
  private standby: { directory: string; port: number; process: ChildProcess } | null = null;
  private directory: string;
  private readonly clockFile: string;
  private readonly passwords = { owner: password(), app: password(), superuser: password() };

  private constructor(
    private readonly root: string,
    private readonly watchdog: ChildProcess,
    private readonly programs: string,
    private readonly user: SystemUser | null,
    readonly port: number,
  ) {
    this.directory = join(root, 'primary');
    this.clockFile = join(root, 'clock');
  }

  static async open(): Promise<ChaosPostgres> {
    const isRoot = process.getuid?.() === 0;
    const user = isRoot ? await ensureServiceUser(() => undefined) : null;
    const root = await mkdtemp(join(tmpdir(), 'fabric-chaos-'));
    await chmod(root, 0o755);
    const { initdb } = await preparePostgresBinaries({
      user,
      copyTo: join(root, 'bin'),
      log: () => undefined,
    });
    const postgres = new ChaosPostgres(root, watchdog(root), dirname(initdb), user, await findFreePort());
    await postgres.make();
    return postgres;
  }

  get ownerUrl(): string {
    return this.url(OWNER_ROLE, this.passwords.owner);
  }

  get appUrl(): string {
    return this.url(APP_ROLE, this.passwords.app);
  }

  /** Kills every process of it at once, as the loss of its machine would. */
  async kill(): Promise<void> {
    await end(this.server);
  }

  async restart(): Promise<void> {
    this.server = await this.run(this.directory, this.port);
  }

  pause(): void {
    signal(this.server, 'SIGSTOP');
  }

  proceed(): void {
    signal(this.server, 'SIGCONT');
  }

  /** Sets its wall clock apart from the host's. Needs `canMoveClocks`. */
  async setClock(offsetSeconds: number): Promise<void> {
    await writeFile(this.clockFile, `${offsetSeconds >= 0 ? '+' : ''}${offsetSeconds}s\n`);
  }

  /** Makes a standby that follows; it lags from the moment at which it is paused. */
  async addStandby(): Promise<void> {
    const directory = join(this.root, `standby-${randomBytes(4).toString('hex')}`);
    const port = await findFreePort();
    await this.asSuperuser(async (client) => {
      await client.query("SELECT pg_backup_start('chaos', true)");
      await cp(this.directory, directory, { recursive: true, preserveTimestamps: true });
      const { rows } = await client.query<{ labelfile: string }>(
        'SELECT labelfile FROM pg_backup_stop(false)',
      );
      await writeFile(join(directory, 'backup_label'), rows[0]?.labelfile ?? '');
    });
    await rm(join(directory, 'postmaster.pid'), { force: true });
    await writeFile(join(directory, 'standby.signal'), '');
    const source = `host=127.0.0.1 port=${this.port} user=postgres password=${this.passwords.superuser}`;
    await appendFile(join(directory, 'postgresql.conf'), `primary_conninfo = '${source}'\n`);
    await this.own(directory);
    this.standby = { directory, port, process: await this.run(directory, port) };
  }

  /** Resolves once the standby has all that is committed now. */
  async standbyIsLevel(): Promise<void> {
    const { standby } = this;
    if (standby === null) throw new Error('there is no standby');
    let goal = '';
    await this.asSuperuser(async (client) => {
      const { rows } = await client.query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn');
      goal = rows[0]?.lsn ?? '';
    });
    await this.asSuperuser(async (client) => {
      for (;;) {
        const { rows } = await client.query<{ level: boolean | null }>(
          'SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS level',
          [goal],
        );
        if (rows[0]?.level === true) return;
        await sleep(50);
      }
    }, standby.port);
  }

  /** The time of its clock by which the service decides, in milliseconds. */
  async time(): Promise<number> {
    const client = new pg.Client({ connectionString: this.ownerUrl });
    await client.connect();
    try {
      const { rows } = await client.query<{ now: Date }>('SELECT fabric_now() AS now');
      return Number(rows[0]?.now);
    } finally {
      await client.end();
    }
  }

  /** From now on what is committed does not reach the standby. */
  pauseStandby(): void {
    signal(this.standby?.process ?? null, 'SIGSTOP');
  }

  /**
   * The primary is lost, and what the standby has got takes its place at its address.
   * @param between  runs when the old one does nothing any more and the new one nothing yet
   */
  async failOver(between: () => void): Promise<void> {
    const { standby } = this;
    if (standby === null) throw new Error('there is no standby');
    await end(this.server);
    await end(standby.process);
    this.standby = null;
    this.directory = standby.directory;
    between();
    this.server = await this.run(standby.directory, this.port);
    await this.asSuperuser((client) => client.query('SELECT pg_promote(true)'));
  }

  async close(): Promise<void> {
    await end(this.server);
    await end(this.standby?.process ?? null);
    await released(this.watchdog);
  }

  private async make(): Promise<void> {
    await mkdir(this.directory, { mode: 0o700 });
    const secret = join(this.root, 'password');
    await writeFile(secret, this.passwords.superuser, { mode: 0o600 });
    await this.setClock(0);
    await this.own(this.root);
    const made = await runCommand(
      join(this.programs, 'initdb'),
      [
        '-D',
        this.directory,
        '-U',
        'postgres',
        '--encoding=UTF8',
        '--locale-provider=builtin',
        '--builtin-locale=C.UTF-8',
        '--auth=scram-sha-256',
        `--pwfile=${secret}`,
      ],
      this.user,
    );
    if (!made.ok) throw new Error(made.output);
    await appendFile(
      join(this.directory, 'postgresql.conf'),
      "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 150\nshared_buffers = '128MB'\njit = off\n",
    );
    await this.restart();
    await this.asSuperuser(async (client) => {
      await createFabricRoles(client, this.passwords);
      await client.query(`CREATE DATABASE fabric OWNER ${OWNER_ROLE}`);
    });
  }

  private async run(directory: string, port: number): Promise<ChildProcess> {
    for (;;) {
      try {
        return await this.begin(directory, port);
      } catch (error) {
        // Processes of the server before, which were killed with it, may still be ending.
        if (!String(error).includes('pre-existing shared memory block')) throw error;
        await sleep(50);
      }
    }
  }

  private async begin(directory: string, port: number): Promise<ChildProcess> {
    await rm(join(directory, 'postmaster.pid'), { force: true });
    const server = spawn(join(this.programs, 'postgres'), ['-D', directory, '-p', String(port)], {
      cwd: '/',
      detached: true, // a group of its own, to be killed and paused as one
      env: { LC_ALL: 'C', ...(canMoveClocks ? movedClock(this.clockFile) : {}) },
      stdio: ['ignore', 'ignore', 'pipe'],
      ...(this.user === null ? {} : { uid: this.user.uid, gid: this.user.gid }),
    });
    let output = '';
    server.stderr?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-4_000);
    });
    let hasEnded = false;
    // Not with its exit: what it said last may come after that.
    server.once('close', () => {
      hasEnded = true;
    });
    await this.answering(port, () => {
      if (hasEnded) throw new Error(output);
    });
    return server;
  }

  private async answering(port: number, check: () => void): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      check();
      const client = new pg.Client({ connectionString: this.superuserUrl(port) });
      client.on('error', () => undefined);
      try {
        await client.connect();
        await client.end();
        return;
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await sleep(50);
      }
    }
  }

  private async asSuperuser(
    work: (client: pg.Client) => Promise<unknown>,
    port: number = this.port,
  ): Promise<void> {
    const client = new pg.Client({ connectionString: this.superuserUrl(port) });
    await client.connect();
    try {
      await work(client);
    } finally {
      await client.end();
    }
  }

  private superuserUrl(port: number): string {
    return `postgres://postgres:${this.passwords.superuser}@127.0.0.1:${port}/postgres`;
  }

  private url(role: string, secret: string): string {
    return `postgres://${role}:${secret}@127.0.0.1:${this.port}/fabric`;
  }

  private async own(path: string): Promise<void> {
    if (this.user === null) return;
    await chown(path, this.user.uid, this.user.gid);
    await runCommand('chown', ['-R', `${this.user.uid}:${this.user.gid}`, path], null);
  }
}

function password(): string {
  return randomBytes(18).toString('hex');
}

function signal(server: ChildProcess | null, name: NodeJS.Signals): void {
  try {
    if (server?.pid !== undefined) process.kill(-server.pid, name);
  } catch {
    // Its last process has ended.
  }
}

async function end(server: ChildProcess | null): Promise<void> {
  if (server === null || server.exitCode !== null || server.signalCode !== null) return;
  const ended = once(server, 'exit');
  signal(server, 'SIGKILL');
  await ended;
}
