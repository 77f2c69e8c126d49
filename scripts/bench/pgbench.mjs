import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { latencies } from './statistics.mjs';

/** Where Debian has what is not on the path. */
const DEBIAN = '/usr/lib/postgresql';
const LATENCY_COLUMN = 2;
/** In which even a machine that does much else ends a transaction; no measurement is so long. */
const LONGEST_SECONDS = 120;

/** Where pgbench is; null: not on this machine. */
export function findPgbench() {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN) : [];
  const places = ['pgbench', ...versions.map((version) => join(DEBIAN, version, 'bin', 'pgbench'))];
  return places.find((place) => spawnSync(place, ['--version']).status === 0) ?? null;
}

/**
 * Runs a script of SQL by pgbench, as prepared statements: as long as told, or as long as its first transaction takes.
 * @param {{ program: string, url: string, script: string, clients: number, durationMs: number }} run
 * @returns {Promise<{ perSecond: number, p50: number, p99: number }>} latencies in milliseconds
 */
export async function pgbench(run) {
  let seconds = Math.max(1, Math.round(run.durationMs / 1000));
  for (; seconds <= LONGEST_SECONDS; seconds *= 2) {
    const rate = await runFor(seconds, run);
    if (rate !== null) return rate;
  }
  throw new Error(`pgbench ended no transaction in ${seconds / 2} s.`);
}

/** Null: not one transaction ended in that time. */
async function runFor(seconds, { program, url, script, clients }) {
  const directory = mkdtempSync(join(tmpdir(), 'fabric-pgbench-'));
  const { hostname, port, username, password, pathname } = new URL(url);
  try {
    const file = join(directory, 'script.sql');
    writeFileSync(file, script);
    const args = ['-n', '-M', 'prepared', '-c', clients, '-j', 2, '-T', seconds, '-f', file, '-l'];
    const where = ['-h', hostname, '-p', port, '-U', username, pathname.slice(1)];
    const { stdout } = await promisify(execFile)(program, [...args, ...where].map(String), {
      cwd: directory,
      env: { PATH: process.env.PATH ?? '', PGPASSWORD: decodeURIComponent(password) },
    });
    if (/^number of transactions actually processed: 0$/m.test(stdout)) return null;
    const perSecond = Number(/^tps = ([\d.]+) \(without/m.exec(stdout)?.[1]);
    if (!Number.isFinite(perSecond)) throw new Error(`pgbench says no tps:\n${stdout}`);
    return { perSecond, ...latencies(loggedMs(directory)) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** How long each transaction took, as pgbench has logged it in microseconds. */
function loggedMs(directory) {
  const logs = readdirSync(directory).filter((name) => name.startsWith('pgbench_log'));
  return logs.flatMap((name) =>
    readFileSync(join(directory, name), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => Number(line.split(' ')[LATENCY_COLUMN]) / 1000),
  );
}
