import type { Config, DatabaseUrls } from './config.js';

/** What the running service works with: the configuration with everything generated or started filled in. */
export interface Runtime {
  readonly config: Config;
  readonly database: DatabaseUrls;
  readonly masterKey: string;
  /** null: there is no bootstrap token. */
  readonly bootstrapToken: string | null;
  readonly version: string;
  /** Longest that a request waits for a connection to the database, in milliseconds (default 5 s). */
  readonly connectionWaitMs?: number;
}

/** Injection token of the {@link Runtime}. */
export const RUNTIME = Symbol('Runtime');
