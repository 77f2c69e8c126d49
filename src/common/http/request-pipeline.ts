import { createHash } from 'node:crypto';
import {
  type CallHandler,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
} from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { from, lastValueFrom, type Observable } from 'rxjs';
import { principalOf } from '../auth/request-principal.js';
import { conflict, invalid, malformed, notFound } from '../errors/domain-error.js';
import { canonicalJson } from '../json/canonical-json.js';
import { UnknownMembers } from '../observability/unknown-members.js';
import type { RequestContext } from '../request/request-context.js';
import { SNAPSHOT_PORT, type SnapshotPort } from '../transaction/ports.js';
import { UnitOfWork } from '../transaction/unit-of-work.js';
import { Slots } from '../waiting/slots.js';
import { matchesIfNoneMatch } from './etag.js';
import { IdempotencyStore, Replay, type StoredAnswer } from './idempotency-store.js';
import { checkBody, checkPath, checkQuery, unknownMembers } from './input.js';
import { KeyedCalls } from './keyed-calls.js';
import { isMutation, OPERATION, type Operation } from './operation.js';
import { type PlannedCall, PlannedChanges, planAnswer, planHash } from './plan.js';
import { contextOf } from './request-hooks.js';
import { rememberSentBody, sentBody } from './sent-body.js';
import { verifyAnswer } from './verify-answer.js';
import { WithStatus } from './with-status.js';

/**
 * Plans made at a time by one instance, and calls by a plan's hash. Each holds two connections and may read a whole
 * cluster; those who wait hold nothing, and come back when it takes too long.
 */
const PLANS = { atOnce: 2, waitMs: 15_000, retryAfterSeconds: 5 };

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

/**
 * What every request passes between guard and handler: its input is checked against the operation, a mutation runs as
 * one unit of work that commits together with its stored answer (or, in a dry run, not at all), and the answer gets
 * its ETag, Location and status.
 */
@Injectable()
export class RequestPipeline implements NestInterceptor {
  private readonly plans = new Slots(PLANS);

  constructor(
    private readonly idempotency: IdempotencyStore,
    private readonly unknown: UnknownMembers,
    private readonly keyed: KeyedCalls,
    @Inject(SNAPSHOT_PORT) private readonly snapshots: SnapshotPort,
  ) {}

  async intercept(execution: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const operation = Reflect.getMetadata(OPERATION, execution.getHandler()) as Operation | undefined;
    const request = execution.switchToHttp().getRequest<FastifyRequest>();
    const reply = execution.switchToHttp().getResponse<FastifyReply>();
    if (operation === undefined) throw notFound('not_found', 'There is nothing under this path.');
    const context = contextOf(request);
    const handle = () => lastValueFrom(next.handle());
    return from(this.answer(operation, context, request, reply, handle));
  }

  private async answer(
    operation: Operation,
    context: RequestContext,
    request: FastifyRequest,
    reply: FastifyReply,
    handle: () => Promise<unknown>,
  ): Promise<unknown> {
    this.readInput(operation, context, request);
    if (!isMutation(operation, context.method))
      return this.represent(operation, context, request, reply, handle);
    const change = () => this.change(operation, context, request, reply, handle);
    return context.dryRun || context.planHash !== null ? this.plans.run(change) : change();
  }

  private async change(
    operation: Operation,
    context: RequestContext,
    request: FastifyRequest,
    reply: FastifyReply,
    handle: () => Promise<unknown>,
  ): Promise<unknown> {
    const unit = new UnitOfWork();
    context.unit = unit;
    try {
      const body = await handle();
      if (context.dryRun) return await this.plan(operation, context, request, reply, unit, body);
      await this.checkPlan(operation, context, request, unit);
      const answer = answerOf(operation, context, body);
      if (context.idempotency !== null && unit.mutation !== null) {
        await this.idempotency.store(unit.mutation.tx, context.idempotency, answer);
      }
      await unit.commit();
      return send(reply, answer);
    } catch (error) {
      await unit.rollback();
      return send(reply, replayed(reply, error));
    }
  }

  private readInput(operation: Operation, context: RequestContext, request: FastifyRequest): void {
    checkPath(request.params as object);
    const { dryRun, ...query } = request.query as Record<string, unknown>;
    const mutates =
      isMutation(operation, context.method) && operation.access !== 'node' && operation.access !== 'public';
    if (mutates && dryRun !== undefined) {
      if (dryRun !== 'true' && dryRun !== 'false') {
        throw malformed('invalid_parameter', 'dryRun is true or false.', {
          errors: [{ parameter: 'dryRun', message: 'Must be true or false.' }],
        });
      }
      context.dryRun = dryRun === 'true';
    }
    if (operation.takesBytes === true && (context.dryRun || context.planHash !== null))
      throw invalid('dry_run_unsupported', 'A call that carries bytes cannot be planned.');
    const rest = mutates || dryRun === undefined ? query : { dryRun, ...query };
    request.query = checkQuery(operation, rest);
    const sent = request.body;
    rememberSentBody(request, sent);
    if (operation.access === 'node' || operation.access === 'public')
      this.unknown.count(operation.id, unknownMembers(operation, sent));
    const key = request.headers['idempotency-key'];
    if (key !== undefined && context.method === 'POST' && !context.dryRun && context.actor !== null) {
      if (typeof key !== 'string' || !IDEMPOTENCY_KEY.test(key)) {
        throw malformed('invalid_header', 'Idempotency-Key is 1 to 255 printable characters.');
      }
      const { key: principal } = principalOf(request);
      context.idempotency = { principal, key, fingerprint: fingerprint(context, rest, sent) };
    }
    if (operation.takesBytes !== true) request.body = checkBody(operation, sent);
  }

  private async represent(
    operation: Operation,
    context: RequestContext,
    request: FastifyRequest,
    reply: FastifyReply,
    handle: () => Promise<unknown>,
  ): Promise<unknown> {
    const answer = await this.keyed
      .run(context, async () => answerOf(operation, context, await handle()))
      .catch((error: unknown) => replayed(reply, error));
    const etag = answer.headers.ETag;
    const ifNoneMatch = request.headers['if-none-match'];
    if (etag !== undefined && ifNoneMatch !== undefined && matchesIfNoneMatch(ifNoneMatch, etag)) {
      return send(reply, { ...answer, status: 304, body: undefined });
    }
    return send(reply, answer, operation.responseType);
  }

  private async plan(
    operation: Operation,
    context: RequestContext,
    request: FastifyRequest,
    reply: FastifyReply,
    unit: UnitOfWork,
    body: unknown,
  ): Promise<unknown> {
    await unit.checkDeferredConstraints();
    const call = await this.plannedCall(operation, context, request, unit);
    await unit.rollback();
    return send(reply, {
      status: 200,
      headers: {},
      body: planAnswer(call, withoutSecrets(operation, body instanceof WithStatus ? body.body : body)),
    });
  }

  private async checkPlan(
    operation: Operation,
    context: RequestContext,
    request: FastifyRequest,
    unit: UnitOfWork,
  ): Promise<void> {
    if (context.planHash === null) return;
    const now = planHash(await this.plannedCall(operation, context, request, unit));
    if (now === context.planHash) return;
    throw conflict('plan_changed', 'The effect would now be another than the one that was planned.', {
      extensions: { planHash: now },
    });
  }

  private async plannedCall(
    operation: Operation,
    context: RequestContext,
    request: FastifyRequest,
    unit: UnitOfWork,
  ): Promise<PlannedCall> {
    const mutation = unit.mutation;
    const changes = new PlannedChanges(mutation?.newIds ?? []);
    if (mutation !== null)
      for await (const batch of this.snapshots.changes(mutation.tx, mutation.touched)) changes.add(batch);
    const { path } = context;
    // As it was sent: whoever made the plan can compute its hash, and knows nothing of what a schema adds.
    return { operationId: operation.id, path, body: sentBody(request), changes };
  }
}

function answerOf(operation: Operation, context: RequestContext, body: unknown): StoredAnswer {
  const said = body instanceof WithStatus ? body : new WithStatus(operation.status ?? 200, body);
  const { status, body: content } = said;
  const headers: Record<string, string> = { ...said.headers };
  if (operation.etag !== undefined && content !== undefined) headers.ETag = operation.etag(content as never);
  const { id, nextCursor } = (content ?? {}) as { id?: unknown; nextCursor?: unknown };
  if (status === 201 && context.method === 'POST' && typeof id === 'string' && headers.Location === undefined)
    headers.Location = `${context.path.replace(/\/$/, '')}/${id}`;
  if (typeof nextCursor === 'string') headers.Link = `<${nextPage(context, nextCursor)}>; rel="next"`;
  const answer = { status, headers, body: status === 204 || status === 304 ? undefined : content };
  verifyAnswer(operation, answer);
  return answer;
}

/** The answer that was given before, where that is what `error` brings. @throws what else it is */
function replayed(reply: FastifyReply, error: unknown): StoredAnswer {
  if (!(error instanceof Replay)) throw error;
  void reply.header('Idempotency-Replayed', 'true');
  return error.answer;
}

function nextPage(context: RequestContext, cursor: string): string {
  const query = new URLSearchParams(context.query);
  query.set('cursor', cursor);
  return `${context.path}?${query.toString()}`;
}

function send(reply: FastifyReply, { status, headers, body }: StoredAnswer, type?: string): unknown {
  void reply.status(status).headers(headers);
  if (type !== undefined && headers['Content-Type'] === undefined) void reply.type(type);
  return body;
}

function withoutSecrets(operation: Operation, body: unknown): unknown {
  if (operation.secrets === undefined || typeof body !== 'object' || body === null) return body ?? null;
  return Object.fromEntries(
    Object.entries(body).filter(([name]) => operation.secrets?.includes(name) !== true),
  );
}

function fingerprint(context: RequestContext, query: unknown, body: unknown): Buffer {
  const request = { method: context.method, path: context.path, query, body: body ?? null };
  return createHash('sha256').update(canonicalJson(request)).digest();
}
