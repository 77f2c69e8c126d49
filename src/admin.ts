#!/usr/bin/env node
import 'reflect-metadata';
import { hostname, userInfo } from 'node:os';
import { parseArgs } from 'node:util';
import { createApp } from './app.js';
import { loadConfig } from './common/config/config.js';
import { type Actor, systemActor } from './common/request/actor.js';
import { openRuntime } from './common/startup/open-runtime.js';
import { tellFailure } from './common/startup/tell-failure.js';
import { readVersion } from './common/startup/version.js';
import { RestoreDeclaration } from './modules/authority/restore-declaration.js';

const PROGRAM = 'fabric-admin';
const MAX_REASON = 512;

const HELP = `${PROGRAM}: what is done on the machine itself, with the service's own settings

  ${PROGRAM} restored --reason <text>

    Says that the database was restored in place, from a snapshot of its volume or by any other way that the service
    cannot notice by itself. Raises the term of every cluster by one, holds takeovers of leases for the longest lease
    and a minute, and lets followers of events start anew. Run it before the service is started again; it does no
    harm while the service runs, unless the database is the embedded one, which only one process can hold.

  Reads DATABASE_URL, FABRIC_MASTER_KEY and the other variables of the service. See docs/runbooks/restore.md.
`;

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

const say = (line: string) => process.stdout.write(`${line}\n`);

/** @returns the exit code */
async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.help === true) {
    process.stdout.write(HELP);
    return 0;
  }
  const reason = values.reason?.trim() ?? '';
  const isAsked = positionals.length === 1 && positionals[0] === 'restored';
  if (!isAsked || reason === '' || reason.length > MAX_REASON) {
    const fault = isAsked
      ? `--reason is needed, up to ${MAX_REASON} characters.`
      : 'There is no such command.';
    process.stderr.write(`${PROGRAM}: ${fault} See ${PROGRAM} --help.\n`);
    return EXIT_USAGE;
  }
  await declareRestored(reason);
  return 0;
}

function parse(args: readonly string[]) {
  try {
    const options = { reason: { type: 'string' }, help: { type: 'boolean', short: 'h' } } as const;
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch {
    return { values: {} as { reason?: string; help?: boolean }, positionals: [] };
  }
}

async function declareRestored(reason: string): Promise<void> {
  const settings = loadConfig(process.env);
  // An instance that takes no requests and runs no jobs, and says no more than it has to.
  const logLevel = process.env.LOG_LEVEL ? settings.logLevel : 'warn';
  const config = { ...settings, role: 'api' as const, listens: false, logLevel };
  const surroundings = await openRuntime(config, readVersion(), say);
  try {
    const app = await createApp(surroundings.runtime);
    try {
      await app.init();
      const clusters = await app.get(RestoreDeclaration).declare(operator(), reason);
      for (const { slug, before, after, takeoversHeldUntil } of clusters) {
        const until = takeoversHeldUntil.toISOString();
        say(`${slug}: term ${before.term} -> ${after.term}, takeovers are held until ${until}`);
      }
      say(`The terms of ${clusters.length} clusters were raised, and it is in the audit log.`);
    } finally {
      await app.close();
    }
  } finally {
    await surroundings.close();
  }
}

function operator(): Actor {
  return { ...systemActor(PROGRAM), displayName: `${userName()} on ${hostname()}` };
}

/** A container may run as a user that has no name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    tellFailure(PROGRAM, error);
    process.exit(EXIT_FAILURE);
  },
);
