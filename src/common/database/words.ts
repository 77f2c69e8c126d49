import { join, raw, type Sql } from './sql.js';

const WORD = /^[a-z][a-z_-]*$/;

/** A word of this code as a literal: what never changes need not be a parameter of every statement, and one that is planned
 *  once for any parameters can only then know how common it is. @throws for what could be anything else */
export function word(text: string): Sql {
  if (!WORD.test(text)) throw new Error(`${text} is no word`);
  return raw(`'${text}'`);
}

/** Several of them, as they stand behind `IN`. At least one. */
export function words(texts: readonly string[]): Sql {
  return join(texts.map(word), ', ');
}
