import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RateLimitHeaders } from '../../common/http/rate-limits.js';
import { requestIdOf } from '../../common/http/request-hooks.js';
import type { KnownNode } from '../nodes/node-authenticator.js';
import { pollHeaders } from './poll-headers.js';
import type { PollAnswer } from './snapshot-polls.service.js';

/** The route whose requests these are. */
export const POLL_ROUTE = '/api/v1/node-agents/me/snapshot';

/** A poll of a known node that is answered before the framework gets to see it. */
export interface EarlyPoll {
  node: KnownNode;
  ifNoneMatch: string;
  waitSeconds: number;
  wantsHints: boolean;
  limit: RateLimitHeaders;
  request: IncomingMessage;
  response: ServerResponse;
  /** Sends it the usual way after all. */
  goOn: () => void;
}

/** Answers as the framework would. */
export function respond({ limit, request, response }: EarlyPoll, answer: PollAnswer): void {
  const requestId = requestIdOf(request.headers['x-request-id']);
  const headers = { 'X-Request-Id': requestId, ...limit, ...pollHeaders(answer) };
  if ('notModified' in answer) {
    response.writeHead(304, headers).end();
    return;
  }
  // Nothing in a JWS needs to be escaped.
  const body = `{"jws":"${answer.jws}","generation":${answer.generation}}`;
  const content = { 'Content-Type': 'application/json; charset=utf-8', 'Content-Length': body.length };
  response.writeHead(200, { ...headers, ...content }).end(body, 'latin1');
}
