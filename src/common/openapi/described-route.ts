import { isMutation, type Operation } from '../http/operation.js';
import type { JsonSchema } from './json-schema.js';

/** One route as the framework knows it, with its declaration. */
export interface DescribedRoute {
  /** With `{parameters}`. */
  path: string;
  method: string;
  tags: readonly string[];
  /** Header parameters that the handler declares of its own. */
  headers: readonly Parameter[];
  operation: Operation;
}

/** A parameter object of the document. */
export interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header';
  required?: boolean;
  description?: string;
  schema: JsonSchema;
  example?: unknown;
}

/** A reference to something under `components`. */
export interface Reference {
  $ref: string;
}

/** Whether calls run as one unit of work. */
export function mutates({ operation, method }: DescribedRoute): boolean {
  return isMutation(operation, method);
}

/** Whether people and scripts may plan the call with `dryRun`. */
export function canBePlanned(route: DescribedRoute): boolean {
  return mutates(route) && isForPeople(route.operation) && route.operation.takesBytes !== true;
}

/** Whether `Idempotency-Key` has an effect: a key belongs to a caller who is known. */
export function isReplayable({ method, operation }: DescribedRoute): boolean {
  return method === 'POST' && operation.access !== 'public';
}

/** Whether `If-Match` is looked at. */
export function isConditional(route: DescribedRoute): boolean {
  return ['PATCH', 'PUT', 'DELETE'].includes(route.method) && mutates(route) && isForPeople(route.operation);
}

/** Whether answers carry an `ETag`. */
export function hasEtag({ operation }: DescribedRoute): boolean {
  return operation.etag !== undefined || operation.setsEtag === true;
}

function isForPeople({ access }: Operation): boolean {
  return access !== 'node' && access !== 'public';
}
