import { CONFLICTS } from './conflict-problems.js';
import { CONTENT_PROBLEMS } from './content-problems.js';
import type { ProblemTable } from './problem-entry.js';
import { RELEASE_PROBLEMS } from './release-problems.js';
import { REQUEST_PROBLEMS } from './request-problems.js';

/** Every problem code that this service answers. A code never changes its meaning. */
export const PROBLEMS = {
  ...REQUEST_PROBLEMS,
  ...CONFLICTS,
  ...CONTENT_PROBLEMS,
  ...RELEASE_PROBLEMS,
} as const satisfies ProblemTable;

/** A stable, snake_case problem code. */
export type ProblemCode = keyof typeof PROBLEMS;
