import type { DatabaseUrls } from '../config/config.js';
import { StartupError } from '../database/embedded/startup-error.js';
import { isUnavailable, postgresRefusal } from '../database/postgres-errors.js';

/** SQLSTATE classes of a server that answers and does not let in: invalid authorization, no such database. */
const NOT_LET_IN = /^(28|3D)/;
/** System errors by which a name or an address leads nowhere. */
const UNREACHABLE = /^(ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ENOENT|EACCES)$/;

/** What an operator can do about a database that could not be used at start; null when the fault is another. */
export function databaseFault(error: unknown, urls: DatabaseUrls): StartupError | null {
  const sqlState = postgresRefusal(error)?.sqlState ?? null;
  const { code } = (error ?? {}) as { code?: unknown };
  const name = typeof code === 'string' ? code : 'no answer';
  const variables =
    urls.ownerUrl === urls.appUrl ? 'DATABASE_URL' : 'DATABASE_URL and FABRIC_DATABASE_OWNER_URL';
  const hosts = [
    ...new Set([urls.appUrl, urls.ownerUrl].map((url) => new URL(url).host || 'localhost')),
  ].join(', ');
  if (sqlState !== null && NOT_LET_IN.test(sqlState)) {
    return new StartupError(
      `The database at ${hosts} does not let this service in (${name}): check user, password and database name in ${variables}.`,
      { cause: error },
    );
  }
  if (!isUnavailable(error) && !UNREACHABLE.test(name)) return null;
  return new StartupError(
    `The database at ${hosts} cannot be reached (${name}): check that it runs, and ${variables}.`,
    { cause: error },
  );
}
