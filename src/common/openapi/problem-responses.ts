import { STATUS_CODES } from 'node:http';
import { PROBLEMS, type ProblemCode } from '../http/problems.js';
import {
  canBePlanned,
  type DescribedRoute,
  isConditional,
  isReplayable,
  mutates,
  type Reference,
} from './described-route.js';
import { RESPONSE_HEADERS } from './headers.js';

/** A response object of the document. */
export interface ProblemResponse {
  description: string;
  headers: Record<string, Reference>;
  content: Record<string, unknown>;
}

/** What any body may be refused for, before its schema is looked at. */
const UNREADABLE: readonly ProblemCode[] = [
  'malformed_json',
  'json_too_deep',
  'duplicate_key',
  'forbidden_key',
  'invalid_string',
  'invalid_number',
  'malformed_request',
];

/** Every code that the operation may answer, by status: those it declares and those that follow from what it is. */
export function problemCodes(route: DescribedRoute): Map<number, ProblemCode[]> {
  const { operation, path } = route;
  const { access } = operation;
  const takesBody = operation.body !== undefined;
  const codes = new Set<ProblemCode>(operation.problems ?? []);
  const add = (condition: boolean, ...added: ProblemCode[]) => {
    if (condition) for (const code of added) codes.add(code);
  };
  add(true, 'invalid_parameter', 'not_acceptable', 'internal_error', 'unavailable');
  add('cursor' in (operation.query?.shape ?? {}), 'invalid_cursor');
  add('filter' in (operation.query?.shape ?? {}), 'invalid_filter');
  add(access !== 'public', 'unauthenticated', 'forbidden', 'rate_limited');
  add(operation.highRisk === true, 'high_risk_credential_required');
  add(operation.guardedByAuthority === true, 'cluster_not_authoritative');
  add(path.includes('{'), 'not_found');
  add(canBePlanned(route), 'plan_changed');
  add(isReplayable(route), 'invalid_header', 'idempotency_in_progress', 'idempotency_key_reused');
  add(isConditional(route), 'invalid_etag', 'precondition_failed');
  add(operation.takesBytes === true, 'dry_run_unsupported');
  add(takesBody, ...UNREADABLE, 'body_too_large', 'unsupported_media_type');
  add(takesBody || mutates(route), 'invalid_request');
  const sorted = [...codes].sort((one, other) => PROBLEMS[one].status - PROBLEMS[other].status);
  const byStatus = new Map<number, ProblemCode[]>();
  for (const code of sorted) {
    const { status } = PROBLEMS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return byStatus;
}

/** The name under `components.responses` of the answer that has this code alone. */
export function responseName(code: ProblemCode): string {
  return code.replace(/(^|_)([a-z])/g, (_match, _gap, letter: string) => letter.toUpperCase());
}

/** The response of one status. */
export function problemResponse(status: number, codes: readonly ProblemCode[]): ProblemResponse {
  const [only] = codes;
  const description =
    codes.length === 1 && only !== undefined
      ? `${PROBLEMS[only].title}: ${PROBLEMS[only].cause} Code \`${only}\`.`
      : `${STATUS_CODES[status] ?? 'Refused'}. Codes: ${codes.map((code) => `\`${code}\``).join(', ')}.`;
  return {
    description,
    headers: RESPONSE_HEADERS.ofProblem(status),
    content: {
      'application/problem+json': {
        schema: { $ref: '#/components/schemas/Problem' },
        examples: Object.fromEntries(codes.map((code) => [code, { $ref: `#/components/examples/${code}` }])),
      },
    },
  };
}
