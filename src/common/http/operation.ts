import { applyDecorators, HttpCode, SetMetadata } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiOperation } from '@nestjs/swagger';
import type { z } from 'zod';
import type { Permission } from '../auth/permissions.js';
import type { ProblemCode } from './problems.js';

/** Who may call an operation: the holders of a permission, any authenticated person or script, a node, or everybody. */
export type Access = { permission: Permission } | 'authenticated' | 'node' | 'public';

/** Everything that is to be known about one operation: the guard, the input check, the answer and the OpenAPI
 *  document all read it, so that none of them can disagree with another. */
export interface Operation {
  /** `createCluster`: stable, since generated clients name their methods after it. */
  id: string;
  summary: string;
  description?: string;
  access: Access;
  /** Success status (default 200). */
  status?: 200 | 201 | 202 | 204;
  /** Schema of the body; a strict object refuses unknown members. */
  body?: z.ZodType;
  /** Where every member is optional the body may be absent. */
  bodyOptional?: boolean;
  bodyExample?: unknown;
  /** Media type of the body where it is not JSON. */
  bodyType?: 'application/x-www-form-urlencoded';
  /** Takes any bytes of any length: the handler reads the request as a stream, once it knows who sends it. */
  takesBytes?: boolean;
  /** The handler is also given the body byte for byte, by `@SentBytes()`: for signatures over it. */
  keepsBytes?: boolean;
  /** Schema of the query; parameters that it does not name are refused. */
  query?: z.ZodObject;
  response?: z.ZodType;
  responseDescription?: string;
  responseExample?: unknown;
  /** Media type of the answer where it is not JSON. */
  responseType?: string;
  /** Answers of other statuses that are no problem documents. */
  otherAnswers?: readonly OtherAnswer[];
  /** What it answers carries an `ETag` of this kind; reads answer 304 to a matching `If-None-Match`. */
  etag?: (body: never) => string;
  /** The handler sets the `ETag` itself, and answers 304 when it wants to. */
  setsEtag?: boolean;
  /** Members of the answer that are shown once and therefore left out of a dry run. */
  secrets?: readonly string[];
  /** Needs a credential made for it, and is recorded when it is refused or fails. */
  highRisk?: boolean;
  /** Spreads trust: refused while the cluster is not authoritative. */
  guardedByAuthority?: boolean;
  /** Only a part of it spreads trust, and the handler refuses that part: which, in a sentence. */
  guardedInPart?: string;
  /** Runs while nothing else changes its cluster: for what must see that nobody is in it. */
  holdsClusterAlone?: boolean;
  /** Whether it changes something through the transactor (default: every method but GET). */
  mutates?: boolean;
  /** Problem codes beyond those that every operation may answer. */
  problems?: readonly ProblemCode[];
}

/** An answer beside the usual one: a PUT that created, an error in the form of another standard. */
export interface OtherAnswer {
  status: number;
  description: string;
  response: z.ZodType;
  /** Media type where it is not JSON. */
  responseType?: string;
  example?: unknown;
}

/** Metadata key under which a route keeps its {@link Operation}. */
export const OPERATION = 'fabric:operation';

/** What the parsers of bodies read of the operation: they run before the framework finds the handler. */
export interface BodyConfig {
  takesBytes?: boolean;
  keepsBytes?: boolean;
}

const declared = new Map<string, Operation>();

/** Declares what a route is. Every route has one; a test sees to it. */
export function Route(operation: Operation): MethodDecorator {
  const known = declared.get(operation.id);
  if (known !== undefined && known !== operation) throw new Error(`two operations are named ${operation.id}`);
  declared.set(operation.id, operation);
  const { id, summary, description, takesBytes = false, keepsBytes = false } = operation;
  return applyDecorators(
    SetMetadata(OPERATION, operation),
    RouteConfig({ takesBytes, keepsBytes } satisfies BodyConfig),
    HttpCode(operation.status ?? 200),
    ApiOperation({ operationId: id, summary, ...(description === undefined ? {} : { description }) }),
  );
}

/** Every operation that is declared, by id; those of modules that nobody loaded are unknown here. */
export function declaredOperations(): readonly Operation[] {
  return [...declared.values()].sort((one, other) => one.id.localeCompare(other.id));
}

/** The operation with this id. */
export function operationById(id: string): Operation | undefined {
  return declared.get(id);
}

/** Whether requests to this operation run as one unit of work. */
export function isMutation(operation: Operation, method: string): boolean {
  return operation.mutates ?? (method !== 'GET' && method !== 'HEAD');
}
