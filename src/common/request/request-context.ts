import { AsyncLocalStorage } from 'node:async_hooks';
import type { TraceParent } from '../observability/trace-parent.js';
import type { UnitOfWork } from '../transaction/unit-of-work.js';
import type { Actor } from './actor.js';

/** A request that is to be answered once, however often it comes. */
export interface IdempotentRequest {
  /** Whose key it is. */
  principal: string;
  key: string;
  /** SHA-256 over method, path, query and body. */
  fingerprint: Buffer;
}

/** What is known of the HTTP request that is being answered; filled in as it passes the stages. */
export interface RequestContext {
  readonly requestId: string;
  /** The caller's place in a trace, where it sent a valid one. */
  readonly traceParent: TraceParent | null;
  /** The trace that this request belongs to: its caller's, else the one that it starts while tracing is on. */
  traceId: string | null;
  readonly method: string;
  /** Path as sent, without the query. */
  readonly path: string;
  /** Query as sent, without the question mark. */
  readonly query: string;
  readonly ip: string;
  readonly userAgent: string | null;
  /** Values of the headers that steer a mutation. */
  readonly ifMatch: string | null;
  readonly planHash: string | null;
  operationId: string | null;
  dryRun: boolean;
  /** Set when an `Idempotency-Key` came with a POST that changes something. */
  idempotency: IdempotentRequest | null;
  actor: Actor | null;
  /** The cluster that the path names, once it is resolved. */
  clusterId: string | null;
  highRisk: boolean;
  /** The route may only be used while its cluster is authoritative. */
  guardedByAuthority: boolean;
  /** Set for routes that change something: the transaction commits with the answer. */
  unit: UnitOfWork | null;
}

const storage = new AsyncLocalStorage<RequestContext>();

/** Runs `work` with `context` as the current request. */
export function runInRequest<T>(context: RequestContext, work: () => T): T {
  return storage.run(context, work);
}

/** Runs `work` for no request in particular: what several of them share is none's. */
export function runOutsideRequests<T>(work: () => T): T {
  return storage.exit(work);
}

/** The request that is being answered; undefined in workers and at start. */
export function currentRequest(): RequestContext | undefined {
  return storage.getStore();
}
