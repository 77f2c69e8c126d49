import { type DomainError, malformed } from '../errors/domain-error.js';

/** 400 `invalid_filter`, naming the query parameter and the position, counted from 0.
 *  @param hint what would be right, where that is a list */
export function invalidFilter(problem: string, position: number, hint?: string): DomainError {
  const message = `${problem} at position ${position}${hint === undefined ? '' : `; ${hint}`}`;
  return malformed('invalid_filter', 'The filter is not valid.', {
    errors: [{ parameter: 'filter', message }],
  });
}
