import 'reflect-metadata';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createApp, listen } from './app.js';
import { type Config, ConfigError, loadConfig } from './common/config/config.js';
import { StartupError } from './common/database/embedded/startup-error.js';
import { MigrationError } from './common/database/migrations/migration-files.js';
import { createLogger } from './common/observability/logger.js';
import { startTracing } from './common/observability/start-tracing.js';
import { projectRoot } from './common/project-root.js';
import { banner } from './common/startup/banner.js';
import { openRuntime } from './common/startup/open-runtime.js';

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

function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(join(projectRoot(), 'package.json'), 'utf8'));
  return (manifest as { version: string }).version;
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    const isKnown =
      error instanceof ConfigError || error instanceof StartupError || error instanceof MigrationError;
    if (error instanceof ConfigError)
      for (const line of error.lines) process.stderr.write(`fabric: ${line}\n`);
    else
      process.stderr.write(
        `fabric: ${isKnown ? (error as Error).message : ((error as Error).stack ?? String(error))}\n`,
      );
    process.exit(1);
  },
);
