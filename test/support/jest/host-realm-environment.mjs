import { ModernFakeTimers } from '@jest/fake-timers';
import { ModuleMocker } from 'jest-mock';

/** What the test framework leaves with the realm for each test file, under symbols that nobody else can know. */
const OF_ONE_FILE = new Set(['JEST_STATE_SYMBOL', 'EVENT_HANDLERS']);
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Runs test files in the realm of the worker itself, as the service runs: in a realm of their own every dependency would
 * be loaded anew for each, and errors of Node would be no `Error`. What a file changes of the process is put back.
 */
export default class HostRealmEnvironment {
  global = globalThis;
  moduleMocker = new ModuleMocker(globalThis);
  fakeTimers = null;
  fakeTimersModern;
  #variables = { ...process.env };
  #exit = process.exit;
  #exitCode = process.exitCode;
  #console = globalThis.console;
  #listeners = new Map(SIGNALS.map((signal) => [signal, process.listeners(signal)]));

  constructor({ projectConfig }) {
    this.fakeTimersModern = new ModernFakeTimers({ config: projectConfig, global: globalThis });
  }

  async setup() {}

  async teardown() {
    this.fakeTimersModern.dispose();
    for (const name of Object.keys(process.env)) if (!(name in this.#variables)) delete process.env[name];
    Object.assign(process.env, this.#variables);
    process.exit = this.#exit;
    process.exitCode = this.#exitCode;
    for (const [signal, kept] of this.#listeners) {
      for (const listener of process.listeners(signal))
        if (!kept.includes(listener)) process.off(signal, listener);
    }
    globalThis.console = this.#console;
    for (const symbol of Object.getOwnPropertySymbols(globalThis))
      if (OF_ONE_FILE.has(symbol.description)) delete globalThis[symbol];
  }

  exportConditions() {
    return ['node', 'node-addons'];
  }

  /** There is none: what is asked for in one is answered by the runtime that belongs to this environment. */
  getVmContext() {
    return null;
  }
}
