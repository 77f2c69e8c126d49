import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { newId } from '../ids/uuid.js';
import { problemFor } from './problem-document.js';
import { PROBLEMS, type ProblemCode } from './problems.js';
import { openContext } from './request-hooks.js';

/** Answers a request whose path cannot be read; no hook has seen it. */
export function refusePath(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const context = openContext(request);
  const { status, headers, body } = problemFor(error, context);
  void reply
    .status(status)
    .headers({ ...headers, 'X-Request-Id': context.requestId })
    .type('application/problem+json')
    .send(JSON.stringify(body));
}

const DETAILS = {
  malformed_request: 'This is not an HTTP request that can be read.',
  request_timeout: 'The request did not arrive in time.',
  headers_too_large: 'Path and headers together are larger than 16 KiB.',
} as const satisfies Partial<Record<ProblemCode, string>>;

/** Answers bytes that are no HTTP request, and ends the connection: nothing after them can be told apart. */
export function refuseBytes(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const code = codeOf(error);
  const { status, title } = PROBLEMS[code];
  const requestId = newId();
  const body = JSON.stringify({
    type: `/problems/${code}`,
    title,
    status,
    detail: DETAILS[code],
    code,
    requestId,
  });
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nX-Request-Id: ${requestId}\r\nConnection: close\r\n\r\n${body}`,
  );
}

function codeOf({ code }: NodeJS.ErrnoException): keyof typeof DETAILS {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'request_timeout';
  return code === 'HPE_HEADER_OVERFLOW' ? 'headers_too_large' : 'malformed_request';
}
