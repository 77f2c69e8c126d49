import { trace } from '@opentelemetry/api';
import pino, { type Logger } from 'pino';
import { currentRequest } from '../request/request-context.js';

/** Injection token of the process's logger. */
export const LOGGER = Symbol('Logger');

/** Members whose values never reach a log, wherever an object of ours holds them. */
const SECRET_PATHS = [
  'req.headers.authorization',
  'req.headers.cookie',
  '*.authorization',
  '*.token',
  '*.secret',
  '*.password',
  '*.credentialRef',
  '*.privateKey',
  'token',
  'secret',
  'password',
  'credentialRef',
  'privateKey',
];

/** Structured logs, one JSON object a line on standard output, with secrets redacted and the trace they belong to. */
export function createLogger(level: string): Logger {
  return pino({
    level,
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    mixin: currentTrace,
    redact: { paths: SECRET_PATHS, censor: '[redacted]' },
  });
}

function currentTrace(): { traceId?: string } {
  const traceId = trace.getActiveSpan()?.spanContext().traceId ?? currentRequest()?.traceId ?? null;
  return traceId === null ? {} : { traceId };
}
