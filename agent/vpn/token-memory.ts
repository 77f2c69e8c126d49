import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileIfPresent, writeFileAtomic } from '../atomic-file.js';

/** Connections whose highest token is kept; the longest unused go first. */
const KEPT = 1_024;

/** Of each connection the highest fencing token that something happened to; kept over restarts. */
export class TokenMemory {
  private constructor(
    private readonly file: string,
    private readonly tokens: Map<string, number>,
  ) {}

  /**
   * A file that cannot be read is begun anew: what it knew helps, and is not needed.
   * @param name  of the file in `directory`
   */
  static async open(directory: string, name: string): Promise<TokenMemory> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const file = join(directory, name);
    return new TokenMemory(file, parse(await readFileIfPresent(file)));
  }

  /** Null: none yet. */
  highest(connectionId: string): number | null {
    return this.tokens.get(connectionId) ?? null;
  }

  /** Durable when it resolves. */
  async keep(connectionId: string, token: number): Promise<void> {
    if (token <= (this.tokens.get(connectionId) ?? 0)) return;
    this.tokens.delete(connectionId);
    this.tokens.set(connectionId, token);
    for (const oldest of this.tokens.keys()) {
      if (this.tokens.size <= KEPT) break;
      this.tokens.delete(oldest);
    }
    await writeFileAtomic(this.file, `${JSON.stringify(Object.fromEntries(this.tokens), null, 2)}\n`);
  }
}

function parse(text: string | null): Map<string, number> {
  try {
    const entries = Object.entries(JSON.parse(text ?? '{}') as Record<string, unknown>);
    return new Map(entries.filter((entry): entry is [string, number] => Number.isSafeInteger(entry[1])));
  } catch {
    return new Map();
  }
}
