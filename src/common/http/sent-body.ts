import type { Readable } from 'node:stream';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';

const bodies = new WeakMap<object, unknown>();

/** Keeps the body as it came, before its schema takes away what it does not know; the pipeline's part. */
export function rememberSentBody(request: FastifyRequest, body: unknown): void {
  bodies.set(request.raw, body);
}

/** The parsed body as it came; undefined where there was none. */
export function sentBody(request: FastifyRequest): unknown {
  return bodies.get(request.raw);
}

/** The same for handlers: for signatures and hashes that cover all of it. Everything else uses `@Body()`. */
export const SentBody = createParamDecorator((_: unknown, execution: ExecutionContext): unknown =>
  sentBody(execution.switchToHttp().getRequest<FastifyRequest>()),
);

const sentBytes = new WeakMap<object, Buffer>();

/** Keeps the body byte for byte; the parser's part, where the operation asks for it. */
export function rememberSentBytes(request: FastifyRequest, bytes: Buffer): void {
  sentBytes.set(request.raw, bytes);
}

/** The body byte for byte, of an operation that keeps them; empty when there was none. */
export const SentBytes = createParamDecorator(
  (_: unknown, execution: ExecutionContext): Buffer =>
    sentBytes.get(execution.switchToHttp().getRequest<FastifyRequest>().raw) ?? Buffer.alloc(0),
);

/** The body as it arrives, of an operation that takes bytes. An absent body is an empty one. */
export const ByteStream = createParamDecorator(
  (_: unknown, execution: ExecutionContext): Readable =>
    execution.switchToHttp().getRequest<FastifyRequest>().raw,
);
