import type { FastifyRequest } from 'fastify';
import { malformed } from '../errors/domain-error.js';

/** Id of an event: its position in the feed. */
export const CURSOR = /^\d{1,15}$/;

/** The position that a client names as its last; null: none.
 *  @throws malformed `invalid_header` */
export function cursorOf(text: string | undefined): number | null {
  if (text === undefined || text === '') return null;
  if (CURSOR.test(text)) return Number(text);
  throw malformed('invalid_header', 'Last-Event-ID is the id of an event of this stream.');
}

/** The credential as it was sent, by which a stream is looked at again later. */
export function bearerOf(request: FastifyRequest): string {
  return (request.headers.authorization ?? '').replace(/^Bearer +/i, '');
}
