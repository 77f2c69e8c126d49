import pino, { type Logger } from 'pino';

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

/** Structured logs, one JSON object a line on standard output, with secrets redacted. */
export function createLogger(level: string): Logger {
  return pino({
    level,
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: SECRET_PATHS, censor: '[redacted]' },
  });
}
