import type { z } from 'zod';
import { invalid } from '../errors/domain-error.js';
import { jsonPointer } from '../json/json-pointer.js';

/**
 * Checks a member that a merge patch has led to: each patch may be small enough, and their sum too large.
 * @throws invalid `invalid_request` with the member's pointer
 */
export function checkMerged(schema: z.ZodType, member: string, value: unknown): void {
  const parsed = schema.safeParse(value);
  if (parsed.success) return;
  const errors = parsed.error.issues.map(({ message }) => ({
    pointer: jsonPointer([member]),
    message: `${message} (merged)`,
  }));
  throw invalid('invalid_request', 'A member is out of range once it is merged.', { errors });
}
