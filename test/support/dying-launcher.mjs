/** A launcher that kills itself right before or after the nth thing that it reads, writes or removes; 0: never. */
import { BootFiles } from '../../dist/agent/launcher/boot-files.js';
import { Launcher } from '../../dist/agent/launcher/launcher.js';
import { Slots } from '../../dist/agent/launcher/slots.js';
import { Log } from '../../dist/agent/log.js';
import { lockState } from '../../dist/agent/state-lock.js';

const [state, dieAt, when] = process.argv.slice(2);
const files = new BootFiles(state);
let calls = 0;
const dying = new Proxy(files, {
  get(target, name) {
    const value = target[name];
    if (typeof value !== 'function') return value;
    return async (...args) => {
      const isLast = ++calls === Number(dieAt);
      if (isLast && when === 'before') process.kill(process.pid, 'SIGKILL');
      const result = await value.apply(target, args);
      if (isLast) process.kill(process.pid, 'SIGKILL');
      return result;
    };
  },
});
const unlock = await lockState(files.folder);
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
const HOUR_MS = 3_600_000;
const times = { checkInMs: HOUR_MS, compareMs: HOUR_MS, stopMs: 10_000, delayMs: 1 };
const options = { args: ['--state-dir', state], ...times };
await new Launcher(dying, new Slots(files.folder), options, new Log('info')).run(stop.signal);
await unlock();
