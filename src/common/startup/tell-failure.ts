import { ConfigError } from '../config/config.js';
import { StartupError } from '../database/embedded/startup-error.js';
import { MigrationError } from '../database/migrations/migration-files.js';

/** Says on standard error why a program ended: in a line where an operator can mend it, with the stack where not. */
export function tellFailure(program: string, error: unknown): void {
  for (const line of linesOf(error)) process.stderr.write(`${program}: ${line}\n`);
}

function linesOf(error: unknown): readonly string[] {
  if (error instanceof ConfigError) return error.lines;
  if (error instanceof StartupError || error instanceof MigrationError) return [error.message];
  return [(error as Error).stack ?? String(error)];
}
