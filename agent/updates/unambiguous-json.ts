/** Levels of arrays and objects that what is signed may nest. */
const MAX_DEPTH = 32;
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:]/g;

/**
 * Reads JSON that every reader reads alike: UTF-8, and no name twice in one object. Two readers that take different
 * ones of two equal names would see two manifests under one signature.
 * @throws Error that says what is wrong
 */
export function parseUnambiguous(bytes: Uint8Array): unknown {
  const text = decoded(bytes);
  const value = parsed(text);
  assertUnambiguous(text);
  return value;
}

function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new Error('it is not UTF-8', { cause });
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error('it is not JSON', { cause });
  }
}

/** Of a text that is JSON: a string before a colon is a name, and belongs to the innermost open brace. */
function assertUnambiguous(text: string): void {
  const open: Set<string>[] = [];
  let last = '';
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '{' || token === '[') {
      if (open.push(new Set()) > MAX_DEPTH) throw new Error(`it nests deeper than ${MAX_DEPTH} levels`);
    } else if (token === '}' || token === ']') open.pop();
    else if (token === ':') {
      const name = JSON.parse(last) as string; // however its characters are escaped
      const names = open.at(-1);
      if (names?.has(name) === true || name === '__proto__') throw new Error(`it has "${name}" twice`);
      names?.add(name);
    } else last = token;
  }
}
