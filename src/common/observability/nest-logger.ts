import type { LoggerService } from '@nestjs/common';
import type { Logger } from 'pino';
import { createLogger } from './logger.js';

/** What Nest says, in the service's own form: its start-up chatter as debug, its warnings and errors as they are. */
export class NestLogger implements LoggerService {
  private readonly logger: Logger;

  constructor(level: string) {
    this.logger = createLogger(level);
  }

  log(message: unknown, context?: string): void {
    this.logger.debug({ context }, String(message));
  }

  warn(message: unknown, context?: string): void {
    this.logger.warn({ context }, String(message));
  }

  error(message: unknown, stack?: string, context?: string): void {
    this.logger.error({ context, stack }, String(message));
  }

  fatal(message: unknown, context?: string): void {
    this.logger.fatal({ context }, String(message));
  }
}
