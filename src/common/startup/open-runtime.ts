import type { Config } from '../config/config.js';
import type { Runtime } from '../config/runtime.js';
import { openDataDirectory } from '../database/embedded/data-directory.js';
import { startEmbeddedPostgres } from '../database/embedded/embedded-postgres.js';
import { migrate } from '../database/migrations/migrator.js';
import { databaseFault } from './database-fault.js';
import { checkMasterKey } from './master-key-check.js';

/** Where the platform owner's bootstrap token is: in a file, with who gave it, or nowhere. */
export type OwnerToken = { file: string } | 'given' | 'disabled';

/** The running surroundings of the service, and how to leave them. */
export interface OpenRuntime {
  runtime: Runtime;
  ownerToken: OwnerToken;
  /** Ends what was started here, the embedded Postgres last. */
  close(): Promise<void>;
}

/**
 * Makes ready what the service stands on: the data directory, a database with the newest schema, the keys.
 * @throws StartupError, MigrationError; nothing is left running
 */
export async function openRuntime(
  config: Config,
  version: string,
  log: (line: string) => void,
): Promise<OpenRuntime> {
  const isEmbedded = config.database === null;
  const undo: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const data = await openDataDirectory(config.dataDir, { exclusive: isEmbedded });
    undo.push(() => data.release());
    const masterKey = config.masterKey ?? (await data.masterKey());
    const hasOwnToken = config.bootstrapToken === null;
    const bootstrapToken = hasOwnToken ? await data.ownerToken() : config.bootstrapToken;
    const database = config.database ?? (await embedded(data.path, log, undo));
    if (!isEmbedded && database.ownerUrl === database.appUrl) {
      log(
        'warning: FABRIC_DATABASE_OWNER_URL is not set: only a separate owner keeps the service from rewriting its audit log',
      );
    }
    try {
      await migrate({ ...database, log });
      await checkMasterKey(database.appUrl, masterKey, config.masterKeyPrevious);
    } catch (error) {
      throw databaseFault(error, database) ?? error;
    }
    const isDisabled = bootstrapToken === 'disabled';
    const token = isDisabled ? null : bootstrapToken;
    return {
      runtime: { config, database, masterKey, bootstrapToken: token, version },
      ownerToken: hasOwnToken ? { file: data.ownerTokenFile } : isDisabled ? 'disabled' : 'given',
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function embedded(
  dataDir: string,
  log: (line: string) => void,
  undo: (() => Promise<void>)[],
): Promise<Runtime['database']> {
  const postgres = await startEmbeddedPostgres({ dataDir, log });
  undo.push(() => postgres.stop());
  return { appUrl: postgres.appUrl, directUrl: postgres.appUrl, ownerUrl: postgres.ownerUrl };
}
