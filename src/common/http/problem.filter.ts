import { type ArgumentsHost, Catch, type ExceptionFilter, Inject } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { DomainError } from '../errors/domain-error.js';
import { LOGGER } from '../observability/logger.js';
import { noteFault } from '../observability/spans.js';
import { AllowedMethods } from './allowed-methods.js';
import { problemFor } from './problem-document.js';
import { contextOf } from './request-hooks.js';

/** Turns everything that is thrown into a problem document. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly allowed: AllowedMethods,
  ) {}

  async catch(error: unknown, host: ArgumentsHost): Promise<void> {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    const context = contextOf(request);
    const answer = this.allowed.refusal(request, error) ?? problemFor(error, context);
    if (answer.isFault) {
      noteFault(error);
      this.logger.error({ err: error, requestId: context.requestId }, 'request failed');
    } else if (error instanceof DomainError && error.details.reason !== undefined) {
      const { code, details } = error;
      this.logger.warn(
        { code, reason: details.reason, requestId: context.requestId, ip: context.ip },
        'request refused',
      );
    }
    if (reply.sent) return;
    await reply
      .status(answer.status)
      .headers(answer.headers)
      .type('application/problem+json')
      .send(answer.body);
  }
}
