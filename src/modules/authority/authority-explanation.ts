import type { Operation } from '../../common/http/operation.js';
import type { ProblemCode } from '../../common/http/problems.js';
import type { Authority } from './authority.js';

/** Why the authority lets an operation through, or does not. */
export interface OperationVerdict {
  operation: string;
  summary: string;
  /** Whether the operation spreads trust, and therefore depends on the authority at all. */
  guarded: boolean;
  refused: boolean;
  /** What is refused is a part of it: the reason says which part goes on. */
  inPart: boolean;
  /** The code with which it would be refused. */
  code: ProblemCode | null;
  /** The rule that decides. */
  reason: string;
}

type Declared = Pick<Operation, 'id' | 'summary' | 'guardedByAuthority' | 'guardedInPart'>;

/** Whether the operation, or a part of it, depends on the authority. */
export function isGuarded({ guardedByAuthority, guardedInPart }: Omit<Declared, 'id' | 'summary'>): boolean {
  return guardedByAuthority === true || guardedInPart !== undefined;
}

/** What the authority would say to the operation in this state of things. */
export function explainOperation(operation: Declared, { state }: Pick<Authority, 'state'>): OperationVerdict {
  const { id, summary, guardedByAuthority, guardedInPart } = operation;
  const about = { operation: id, summary, guarded: isGuarded(operation) };
  const allowed = { ...about, refused: false, inPart: false, code: null };
  if (!about.guarded) return { ...allowed, reason: 'No state of the authority refuses it.' };
  if (state === 'authoritative') return { ...allowed, reason: 'The cluster is authoritative.' };
  const inPart = guardedByAuthority !== true;
  const rule = `It spreads trust, and the cluster is ${state}: only an authoritative one may.`;
  const reason = inPart ? `${rule} ${guardedInPart ?? ''}` : rule;
  return { ...about, refused: true, inPart, code: 'cluster_not_authoritative', reason };
}
