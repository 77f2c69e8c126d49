/** One kind of problem: its status, and what its page under `/problems/` tells. */
export interface ProblemEntry {
  status: number;
  title: string;
  cause: string;
  remedy: string;
}

export type ProblemTable = Record<string, ProblemEntry>;

export function entry(status: number, title: string, cause: string, remedy: string): ProblemEntry {
  return { status, title, cause, remedy };
}
