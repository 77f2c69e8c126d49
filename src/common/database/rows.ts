/**
 * Makes rows alike whichever driver read them: 64-bit integers as numbers (all of ours stay below 2^53), bytes as
 * Buffers. `pg` is told so by its type parsers; Prisma's raw queries come through here.
 */
export function normalizeRows<T>(rows: unknown): T[] {
  const list = rows as Record<string, unknown>[];
  for (const row of list) {
    for (const key in row) row[key] = normalizeValue(row[key]);
  }
  return list as T[];
}

function normalizeValue(value: unknown): unknown {
  if (typeof value === 'bigint') return safeInteger(value);
  if (value instanceof Uint8Array && !Buffer.isBuffer(value)) return Buffer.from(value);
  return Array.isArray(value) ? value.map(normalizeValue) : value;
}

/** @throws Error beyond 2^53 - 1: a number that would silently lose digits must not leave the database */
export function safeInteger(value: bigint | string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new Error(`integer ${value} does not fit into a number`);
  return number;
}
