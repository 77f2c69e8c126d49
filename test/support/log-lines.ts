import pino, { type Logger } from 'pino';
import { LOGGER } from '../../src/common/observability/logger.js';
import type { ControlPlane } from './control-plane.js';

/** A line of the service's log. */
export type LogLine = Record<string, unknown> & { level: string; msg: string };

/** Collects what the service logs from now on, from `level` up, instead of printing it. */
export function collectLog({ app }: ControlPlane, level: string): LogLine[] {
  const lines: LogLine[] = [];
  const logger = app.get<Logger>(LOGGER);
  const stream = { write: (line: string) => void lines.push(JSON.parse(line) as LogLine) };
  Object.assign(logger, { level, [pino.symbols.streamSym]: stream });
  return lines;
}
