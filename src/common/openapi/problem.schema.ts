import { z } from 'zod';
import { PROBLEMS, type ProblemCode } from '../http/problems.js';

/** One fault of a request: where it stands in the body or among the parameters, and what is wrong. */
const Fault = z
  .object({
    pointer: z.string().optional().meta({ description: 'JSON pointer into the body.', example: '#/name' }),
    parameter: z.string().optional().meta({ description: 'Name of a query parameter.' }),
    message: z.string().meta({ example: 'Unknown member.' }),
  })
  .meta({ id: 'Fault' });

/** What every refused or failed request is answered with (RFC 9457). Some codes add members of their own. */
export const Problem = z
  .looseObject({
    type: z
      .string()
      .meta({ description: 'Leads to a page with cause and remedy.', example: '/problems/not_found' }),
    title: z.string().meta({ example: 'Not found' }),
    status: z.int().min(400).max(599).meta({ example: 404 }),
    detail: z
      .string()
      .meta({ description: 'What happened here, for people.', example: 'There is no such cluster.' }),
    instance: z
      .string()
      .meta({ description: 'Path of the request.', example: '/api/v1/clusters/moscow-edge' }),
    code: z
      .string()
      .regex(/^[a-z][a-z0-9_]*$/)
      .meta({ description: 'Stable: programs decide by it.', example: 'not_found' }),
    requestId: z
      .string()
      .meta({ description: 'As in `X-Request-Id`.', example: '019ab0c4-7e0f-7c31-9b0e-2f6b1c9d4e55' }),
    errors: z
      .array(Fault)
      .optional()
      .meta({ description: 'Each fault of the request, where they can be told.', example: undefined }),
  })
  .meta({ id: 'Problem' });

const FAULTS: Partial<Record<ProblemCode, unknown>> = {
  invalid_request: [{ pointer: '#/name', message: 'Too small: expected string to have >=1 characters' }],
  invalid_parameter: [{ parameter: 'limit', message: 'Must be a number from 1 to 200.' }],
};

/** A problem document of this code. */
export function problemExample(code: ProblemCode): unknown {
  const { status, title, cause } = PROBLEMS[code];
  const errors = FAULTS[code];
  return {
    type: `/problems/${code}`,
    title,
    status,
    detail: cause,
    instance: '/api/v1/clusters/moscow-edge',
    code,
    requestId: '019ab0c4-7e0f-7c31-9b0e-2f6b1c9d4e55',
    ...(errors === undefined ? {} : { errors }),
  };
}
