import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { inRoot, ROOT } from './project.mjs';
import { Failure } from './run.mjs';

/** Longest that anything in the demo may take, in milliseconds. */
const PATIENCE_MS = 240_000;

/** A process of the demo, with the lines that it has printed. */
export class Actor {
  #lines = [];
  #listeners = new Set();
  #hasEnded = false;

  constructor(name, args, env) {
    this.name = name;
    this.process = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
    // Not at its exit: what it has printed last may come after that.
    this.ended = new Promise((resolve) =>
      this.process.once('close', (code, signal) => resolve(code ?? signal)),
    );
    for (const stream of [this.process.stdout, this.process.stderr]) {
      createInterface({ input: stream }).on('line', (line) => this.#hear(line));
    }
    void this.ended.then(() => {
      this.#hasEnded = true;
      this.#hear('');
    });
  }

  /** The first line, past or to come, for which `pick` returns something. */
  until(what, pick) {
    return new Promise((resolve, reject) => {
      let at = 0;
      const look = () => {
        for (; at < this.#lines.length; at += 1) {
          const found = pick(this.#lines[at]);
          if (found !== undefined && found !== null && found !== false) return finish(resolve, found);
        }
        if (this.#hasEnded)
          finish(reject, new Failure(`${this.name} ended before it ${what}:\n${this.tail()}`));
      };
      const timer = setTimeout(
        () => finish(reject, new Failure(`${this.name} has not ${what}:\n${this.tail()}`)),
        PATIENCE_MS,
      );
      const finish = (settle, value) => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        settle(value);
      };
      this.#listeners.add(look);
      look();
    });
  }

  /** The first event of this name that `fits`, out of the JSON lines of an agent. */
  event(name, fits = () => true) {
    return this.until(`reported ${name}`, (line) => {
      if (!line.startsWith('{')) return null;
      const event = JSON.parse(line);
      return event.event === name && fits(event) ? event : null;
    });
  }

  tail() {
    return this.#lines.slice(-15).join('\n');
  }

  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill('SIGTERM');
    return this.ended;
  }

  #hear(line) {
    if (line !== '') this.#lines.push(line);
    for (const listener of [...this.#listeners]) listener();
  }
}

/** Where the demo plays: a throw-away directory, a service of its own, and agents. */
export class Stage {
  directory = mkdtempSync(join(tmpdir(), 'fabric-demo-'));
  #actors = [];

  /** Starts the service and waits until it takes requests. */
  async startService() {
    const data = join(this.directory, 'data');
    this.service = this.#start('the service', [inRoot('dist/src/main.js')], {
      ...withoutSettings(process.env),
      FABRIC_DATA_DIR: data,
      PORT: '0',
      LOG_LEVEL: 'warn',
    });
    this.url = await this.service.until('come up', (line) => /^ {2}URL +(\S+)$/.exec(line)?.[1]);
    this.token = readFileSync(join(data, 'owner-token'), 'utf8').trim();
  }

  /** Starts one command of the agent, with a state directory that bears its name. */
  agent(name, command, ...args) {
    const state = join(this.directory, name);
    return this.#start(
      name,
      [inRoot('dist/agent/main.js'), command, '--state-dir', state, ...args],
      process.env,
    );
  }

  /** Calls the API as the platform owner. */
  async call(method, path, body) {
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Failure(`${method} ${path} answered ${response.status}: ${text}`);
    return text === '' ? null : JSON.parse(text);
  }

  /** Repeats a look at the service until it sees what it waits for. */
  async see(what, look) {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const seen = await look();
      if (seen) return seen;
      if (Date.now() > deadline) throw new Failure(`It took too long until ${what}.`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  /** Ends every process, the service last, and removes the directory. */
  async close() {
    for (const actor of this.#actors.reverse()) await actor.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  #start(name, args, env) {
    const actor = new Actor(name, args, env);
    this.#actors.push(actor);
    return actor;
  }
}

/** The demo stands alone: an installation's settings must not reach it. */
function withoutSettings(env) {
  const foreign = /^(FABRIC_|OIDC_|DATABASE_URL$|REDIS_URL$|HOST$|PORT$)/;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !foreign.test(name)));
}
