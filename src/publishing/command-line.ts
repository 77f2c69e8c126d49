import { type ParseArgsConfig, parseArgs } from 'node:util';
import { UsageError } from './failure.js';

type Options = NonNullable<ParseArgsConfig['options']>;

/** Parses strictly: no unknown option, no positional argument. @throws UsageError in one line */
export function parseOptions<const T extends Options>(args: readonly string[], options: T) {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    // Node's text goes on with advice about `--`; its first sentence says what is wrong.
    const [what = 'wrong option'] = (error as Error).message.split(/\. |\n/);
    throw new UsageError(what.replace(/\.$/, ''));
  }
}

/** The value of an option that is needed. @throws UsageError */
export function needed(value: string | undefined, option: string): string {
  if (value === undefined || value === '') throw new UsageError(`--${option} is needed`);
  return value;
}

/** `name=value` pairs of a repeated option. @throws UsageError */
export function pairs(values: readonly string[] | undefined, option: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const value of values ?? []) {
    const mark = value.indexOf('=');
    const name = value.slice(0, mark);
    if (mark < 1 || mark === value.length - 1)
      throw new UsageError(`--${option} is <name>=<path>, not "${value}"`);
    if (found.has(name)) throw new UsageError(`--${option} names ${name} twice`);
    found.set(name, value.slice(mark + 1));
  }
  return found;
}

export const say = (line: string): void => void process.stdout.write(`${line}\n`);
