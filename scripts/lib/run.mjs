import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { ROOT } from './project.mjs';

const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** A failure whose message is all that a person needs; `report` prints it without a stack. */
export class Failure extends Error {}

/**
 * Runs a Node program in the clone's directory, on this terminal, and waits for its end, whatever asks this
 * process to end: the request is passed on, and the program decides.
 * @param {string[]} args of `node`
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<number>} the exit code; 128 and the number of the signal when a signal ended it
 */
export function runNode(args, env = process.env) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: 'inherit' });
    const passOn = (signal) => child.kill(signal);
    for (const signal of ENDING) process.on(signal, passOn);
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      for (const name of ENDING) process.off(name, passOn);
      resolve(code ?? 128 + (constants.signals[signal] ?? 0));
    });
  });
}

/** The script that is npm: the one that runs this process, else the one that came with this Node. */
export function npmProgram() {
  const prefix = dirname(dirname(process.execPath));
  const program = [
    /npm-cli\.[cm]?js$/.test(process.env.npm_execpath ?? '') ? process.env.npm_execpath : '',
    join(prefix, 'lib/node_modules/npm/bin/npm-cli.js'),
    join(dirname(process.execPath), 'node_modules/npm/bin/npm-cli.js'),
    '/usr/share/nodejs/npm/bin/npm-cli.js',
  ].find((path) => path !== '' && existsSync(path));
  if (program === undefined) throw new Failure('npm was not found: run this script with npm.');
  return program;
}

/** The end of a script: prints what went wrong, in one line where that says all, and sets the exit code. */
export function report(error) {
  // What the system refuses (rights, a full disk) says itself what it is about.
  console.error(error instanceof Failure || error.syscall !== undefined ? error.message : error);
  process.exitCode = 1;
}
