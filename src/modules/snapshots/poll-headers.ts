import type { PollAnswer } from './snapshot-polls.service.js';

/** What fits into a header that every proxy lets through. */
const MOST_HINTS = 50;

/** Whether the caller asks for hints of leases (a preference as by RFC 7240). */
export function prefersHints(prefer: string | string[] | undefined): boolean {
  if (prefer === undefined) return false;
  return [prefer]
    .flat()
    .flatMap((line) => line.split(','))
    .some((preference) => preference.trim().toLowerCase() === 'lease-hints');
}

/** The headers of an answer to a poll, its ETag among them. */
export function pollHeaders(answer: PollAnswer): Record<string, string> {
  const headers: Record<string, string> = {
    ETag: 'notModified' in answer ? answer.notModified : answer.etag,
  };
  if ('notModified' in answer && answer.retryAfterSeconds !== null)
    headers['Retry-After'] = String(answer.retryAfterSeconds);
  const { hints } = answer;
  if (hints.length > 0) headers['Lease-Hints'] = hints.length > MOST_HINTS ? '*' : hints.join(', ');
  return headers;
}
