import type { Sql } from './sql.js';

/** Every connection keeps the plan of each; more than this many texts would be ones that are put together. */
const MOST = 200;
const names = new Map<string, string>();

/**
 * The statement for `pg`, by a name under which each connection parses and plans it once. For hot paths, whose
 * statements have few texts: planning costs more than most of them take to run.
 */
export function prepared({ text, values }: Sql): { name?: string; text: string; values: unknown[] } {
  const known = names.get(text);
  if (known !== undefined) return { name: known, text, values };
  if (names.size >= MOST) return { text, values };
  const name = `fabric_${names.size}`;
  names.set(text, name);
  return { name, text, values };
}
