import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';

const bodies = new WeakMap<object, unknown>();

/** Keeps the body as it came, before its schema takes away what it does not know; the pipeline's part. */
export function rememberSentBody(request: FastifyRequest, body: unknown): void {
  bodies.set(request.raw, body);
}

/** The parsed body as it came: for signatures and hashes that cover all of it. Everything else uses `@Body()`. */
export const SentBody = createParamDecorator((_: unknown, execution: ExecutionContext): unknown =>
  bodies.get(execution.switchToHttp().getRequest<FastifyRequest>().raw),
);
