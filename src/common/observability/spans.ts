import {
  ProxyTracerProvider,
  type Span,
  type SpanOptions,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { DomainError } from '../errors/domain-error.js';

const NAME = 'fabric-control-plane';

/** What spans of work on the database share. */
export const ON_POSTGRES: SpanOptions = { attributes: { 'db.system.name': 'postgresql' } };

/** Makes the spans of this service; null while tracing is off, so that nothing needs to be prepared for it. */
export function tracer(): Tracer | null {
  const provider = trace.getTracerProvider();
  if (provider instanceof ProxyTracerProvider) return provider.getDelegateTracer(NAME) ?? null;
  return provider.getTracer(NAME);
}

/** Runs `work` in a span below the active one, which tells how it ended. Without tracing it only runs it. */
export function inSpan<T>(name: string, options: SpanOptions, work: () => Promise<T>): Promise<T> {
  const active = tracer();
  if (active === null) return work();
  return active.startActiveSpan(name, options, async (span) => {
    try {
      return await work();
    } catch (error) {
      noteError(span, error);
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Notes on the active span what made its request fail. */
export function noteFault(error: unknown): void {
  trace.getActiveSpan()?.recordException(error instanceof Error ? error : String(error));
}

/** A refusal is an answer like others; everything else that is thrown is a fault. */
function noteError(span: Span, error: unknown): void {
  if (error instanceof DomainError) {
    span.setAttribute('error.type', error.code);
    return;
  }
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  span.setAttribute('error.type', name);
  span.setStatus({ code: SpanStatusCode.ERROR, message });
}
