import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../lib/free-port.mjs';
import { Failure } from '../lib/run.mjs';

const PATIENCE_MS = 20_000;

/** Whether this machine has etcd. */
export function hasEtcd() {
  return spawnSync('etcd', ['--version']).status === 0;
}

/** One member of etcd in a throw-away directory, on loopback. */
export class Etcd {
  #process;
  #directory = mkdtempSync(join(tmpdir(), 'fabric-etcd-'));

  async start() {
    this.port = await freePort();
    const client = `http://127.0.0.1:${this.port}`;
    const peer = `http://127.0.0.1:${await freePort()}`;
    const urls = [
      '--listen-client-urls',
      client,
      '--advertise-client-urls',
      client,
      '--listen-peer-urls',
      peer,
    ];
    const cluster = ['--initial-advertise-peer-urls', peer, '--initial-cluster', `default=${peer}`];
    this.#process = spawn(
      'etcd',
      ['--data-dir', join(this.#directory, 'data'), '--log-level', 'error', ...urls, ...cluster],
      { stdio: 'ignore' },
    );
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const answer = await fetch(`${client}/health`).catch(() => null);
      if (answer?.ok) return;
      if (Date.now() > deadline || this.#process.exitCode !== null)
        throw new Failure('etcd does not come up.');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async stop() {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    if (this.#process.exitCode === null && this.#process.kill('SIGTERM')) await ended;
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
