import { isDeepStrictEqual } from 'node:util';
import type { StoredAnswer } from './idempotency-store.js';
import type { Operation } from './operation.js';

/**
 * Whether answers are held against their declared schema. The tests want it; callers are better off with an answer
 * that has a member too many than with none.
 */
const isWanted = (): boolean => process.env.FABRIC_VERIFY_RESPONSES === '1';

/** Compares a successful JSON answer with what the operation declares. @throws Error naming the operation when a
 *  member is missing, of another type, or not declared */
export function verifyAnswer(operation: Operation, { status, body }: StoredAnswer): void {
  if (!isWanted() || status < 200 || status > 299 || operation.responseType !== undefined) return;
  const other = operation.otherAnswers?.find((each) => each.status === status);
  const schema = other?.response ?? operation.response;
  if (schema === undefined) {
    if (body === undefined) return;
    throw new Error(`${operation.id} answers a body and declares none`);
  }
  const sent: unknown = JSON.parse(JSON.stringify(body ?? null));
  const parsed = schema.safeParse(sent);
  if (!parsed.success)
    throw new Error(`${operation.id} answers what it does not declare: ${parsed.error.message}`);
  const undeclared = difference(sent, JSON.parse(JSON.stringify(parsed.data)), '');
  if (undeclared !== null)
    throw new Error(`${operation.id} answers ${undeclared}, which it does not declare`);
}

/** Where the two first differ, as a JSON pointer. Parsing drops the members that a schema does not name. */
function difference(sent: unknown, declared: unknown, pointer: string): string | null {
  if (isDeepStrictEqual(sent, declared)) return null;
  if (!isObject(sent) || !isObject(declared)) return pointer === '' ? '#' : pointer;
  for (const [name, value] of Object.entries(sent)) {
    const found = difference(value, declared[name], `${pointer}/${name}`);
    if (found !== null) return found;
  }
  return pointer;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
