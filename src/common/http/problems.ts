import { CONFLICTS } from './conflict-problems.js';
import { CONTENT_PROBLEMS } from './content-problems.js';
import type { ProblemTable } from './problem-entry.js';
import { REQUEST_PROBLEMS } from './request-problems.js';

/** Every problem code that this service answers. A code never changes its meaning. */
export const PROBLEMS = {
  ...REQUEST_PROBLEMS,
  ...CONFLICTS,
  ...CONTENT_PROBLEMS,
} as const satisfies ProblemTable;

/** A stable, snake_case problem code. */
export type ProblemCode = keyof typeof PROBLEMS;
