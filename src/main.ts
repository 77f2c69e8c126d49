import 'reflect-metadata';
import { createApp, listen } from './app.js';
import { type Config, loadConfig } from './common/config/config.js';
import { StartupError } from './common/database/embedded/startup-error.js';
import { createLogger } from './common/observability/logger.js';
import { startTracing } from './common/observability/start-tracing.js';
import { banner } from './common/startup/banner.js';
import { openRuntime } from './common/startup/open-runtime.js';
import { tellFailure } from './common/startup/tell-failure.js';
import { readVersion } from './common/startup/version.js';

/** Longest that requests in flight and running jobs get at the end; orchestrators kill after 30 s. */
const SHUTDOWN_MS = 25_000;

const say = (line: string) => process.stdout.write(`${line}\n`);

/** Starts the service in its role and stays until a signal. */
async function main(): Promise<void> {
  const config = loadConfig(process.env);
  const version = readVersion();
  const stop = stopOnSignals();
  const stopTracing = await startTracing(config.tracing, version, createLogger(config.logLevel));
  const surroundings = await openRuntime(config, version, say);
  try {
    const app = await createApp(surroundings.runtime);
    if (config.listens) {
      const { port } = await listen(app, surroundings.runtime).catch(async (error: unknown) => {
        // What runs in the background has begun already, and must not find the database gone.
        await app.close();
        throw cannotListen(error, config) ?? error;
      });
      const host = config.host.includes(':') ? `[${config.host}]` : config.host;
      if (config.role !== 'worker')
        say(banner({ url: `http://${host}:${port}`, version, ownerToken: surroundings.ownerToken }));
    } else {
      await app.init();
      say(`Fabric Control Plane ${version} worker is up.`);
    }
    await stop;
    say('Stopping: requests in flight are finished first.');
    const isOver = Symbol('time is over');
    const patience = new Promise((resolve) => setTimeout(resolve, SHUTDOWN_MS, isOver).unref());
    if ((await Promise.race([app.close(), patience])) === isOver) {
      say(`Requests that took longer than ${SHUTDOWN_MS / 1000} s were cut off.`);
    }
  } finally {
    await stopTracing();
    await surroundings.close();
  }
}

/** Resolves at the first signal. Repeats are ignored: npm forwards a Ctrl-C that the terminal has sent already. */
function stopOnSignals(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve());
  });
}

function cannotListen(error: unknown, { host, port }: Config): StartupError | null {
  const { code } = error as { code?: unknown };
  if (code === 'EADDRINUSE')
    return new StartupError(`Port ${port} on ${host} is taken; choose another with PORT=${port + 1}.`);
  if (code === 'EACCES')
    return new StartupError(`Port ${port} may not be used by this user; choose another with PORT=8080.`);
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return new StartupError(`HOST=${host} is no address of this machine.`);
  return null;
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    tellFailure('fabric', error);
    process.exit(1);
  },
);
