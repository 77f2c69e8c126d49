import type { z } from 'zod';
import {
  type InputFault,
  invalid,
  malformed,
  notFound,
  unsupportedMediaType,
} from '../errors/domain-error.js';
import { jsonPointer } from '../json/json-pointer.js';
import { isForm } from './form-body.js';
import type { Operation } from './operation.js';

/** Faults listed in one answer; a hostile body could have thousands. */
const MAX_FAULTS = 50;

/** Nothing that there is has such a name. @throws not_found for a part of the path with a NUL character */
export function checkPath(params: object): void {
  if (Object.values(params).some(isNoText)) throw notFound('not_found', 'There is nothing of this name.');
}

/**
 * The query as its schema makes it. A parameter given twice arrives as an array, and is refused by every schema that
 * does not take one.
 * @throws malformed `invalid_parameter`, with the parameter's name for each fault
 */
export function checkQuery(operation: Operation, query: Record<string, unknown>): Record<string, unknown> {
  const bad = Object.keys(query).find((name) => [query[name]].flat().some(isNoText));
  if (bad !== undefined) throw badParameters([{ parameter: bad, message: 'No NUL character.' }]);
  if (operation.query === undefined) {
    const [unknown] = Object.keys(query);
    if (unknown === undefined) return {};
    throw badParameters([{ parameter: unknown, message: 'This operation takes no such parameter.' }]);
  }
  const parsed = operation.query.safeParse(query);
  if (parsed.success) return parsed.data;
  throw badParameters(
    parsed.error.issues.flatMap((issue): InputFault[] =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((parameter) => ({ parameter, message: 'This operation takes no such parameter.' }))
        : [{ parameter: String(issue.path[0] ?? ''), message: issue.message }],
    ),
  );
}

/** No database text can hold a NUL character. */
function isNoText(value: unknown): boolean {
  return typeof value === 'string' && value.includes('\0');
}

function badParameters(errors: InputFault[]) {
  return malformed('invalid_parameter', 'A query parameter is unknown or has a value that it cannot take.', {
    errors: errors.slice(0, MAX_FAULTS),
  });
}

/**
 * The body as its schema makes it.
 * @throws unsupported_media_type for a form where JSON is due; invalid `invalid_request`, with the pointer of each fault
 */
export function checkBody(operation: Operation, body: unknown): unknown {
  if (isForm(body) && operation.bodyType === undefined) {
    throw unsupportedMediaType('unsupported_media_type', 'A form is not taken here; send application/json.');
  }
  if (operation.body === undefined) {
    if (body === undefined || body === null || isEmptyObject(body)) return undefined;
    throw invalid('invalid_request', 'This operation takes no body.', {
      errors: [{ pointer: '#', message: 'Leave it out.' }],
    });
  }
  const given = (body === undefined || body === null) && operation.bodyOptional === true ? {} : body;
  const parsed = operation.body.safeParse(given);
  if (parsed.success) return parsed.data;
  throw invalid('invalid_request', 'A member of the body is missing, unknown or out of range.', {
    errors: parsed.error.issues.flatMap(bodyFaults).slice(0, MAX_FAULTS),
  });
}

/** The faults of a JSON value that a schema refuses, by pointers into it. */
export function bodyFaults(issue: z.core.$ZodIssue): InputFault[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      pointer: jsonPointer([...issue.path, key]),
      message: 'Unknown member.',
    }));
  }
  return [{ pointer: jsonPointer(issue.path), message: issue.message }];
}

function isEmptyObject(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0
  );
}

/** Members of `body` that the schema does not name, at the top level. Node agents newer than the service send some. */
export function unknownMembers(operation: Operation, body: unknown): number {
  const shape = (operation.body as { shape?: Record<string, unknown> } | undefined)?.shape;
  if (shape === undefined || typeof body !== 'object' || body === null) return 0;
  return Object.keys(body).filter((key) => !Object.hasOwn(shape, key)).length;
}
