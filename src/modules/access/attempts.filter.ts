import { type ArgumentsHost, Catch, type ExceptionFilter, Inject } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import { ProblemFilter } from '../../common/http/problem.filter.js';
import { type ProblemAnswer, problemFor } from '../../common/http/problem-document.js';
import { contextOf } from '../../common/http/request-hooks.js';
import { LOGGER } from '../../common/observability/logger.js';
import type { RequestContext } from '../../common/request/request-context.js';
import './access.audit.js';
import { AccessRecords } from './access-records.js';
import { BootstrapUses } from './bootstrap-uses.js';

/** Says nothing of the operation: who calls is not known, or calls too often, or in the wrong form. */
const NO_ATTEMPT: readonly number[] = [401, 406, 429];

/**
 * Records high-risk attempts that were refused or failed, then lets the problem filter answer. Registered after it,
 * and of two global filters Nest asks the later one.
 */
@Catch()
export class AttemptsFilter implements ExceptionFilter {
  constructor(
    private readonly problems: ProblemFilter,
    private readonly records: AccessRecords,
    private readonly bootstrapUses: BootstrapUses,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async catch(error: unknown, host: ArgumentsHost): Promise<void> {
    const context = contextOf(host.switchToHttp().getRequest<FastifyRequest>());
    try {
      await this.record(context, problemFor(error, context));
    } catch (fault) {
      // What went wrong with the request is what its caller needs to hear.
      this.logger.error({ err: fault, requestId: context.requestId }, 'a failed attempt was not recorded');
    }
    await this.problems.catch(error, host);
  }

  private async record(context: RequestContext, { status, body }: ProblemAnswer): Promise<void> {
    const { actor, operationId } = context;
    if (actor === null || operationId === null || context.dryRun) return;
    if (status >= 500 || NO_ATTEMPT.includes(status)) return;
    if (context.highRisk)
      await this.records.write(context, actor, attempted(context, operationId, status, body));
    else await this.bootstrapUses.note(context);
  }
}

function attempted(
  { clusterId, method, path }: RequestContext,
  operationId: string,
  status: number,
  { code, permission }: ProblemAnswer['body'],
): AuditEvent {
  const isDenied = status === 403;
  return {
    action: isDenied ? 'operation.denied' : 'operation.failed',
    resource: { type: 'operation', id: operationId, name: `${method} ${path}`.slice(0, 512) },
    clusterId,
    outcome: isDenied ? 'denied' : 'failed',
    highRisk: true,
    reason: typeof permission === 'string' ? `${code}: ${permission}` : code,
    before: null,
    after: null,
  };
}
