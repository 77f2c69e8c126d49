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
  /** The code with which it would be refused. */
  code: ProblemCode | null;
  /** The rule that decides. */
  reason: string;
}

/** What {@link AuthorityGate} would say to each operation in this state of things. */
export function explainOperation(
  { id, summary, guardedByAuthority }: Pick<Operation, 'id' | 'summary' | 'guardedByAuthority'>,
  { state }: Pick<Authority, 'state'>,
): OperationVerdict {
  const guarded = guardedByAuthority === true;
  const about = { operation: id, summary, guarded };
  if (!guarded) {
    return { ...about, refused: false, code: null, reason: 'It spreads no trust, so no state refuses it.' };
  }
  if (state === 'authoritative') {
    return { ...about, refused: false, code: null, reason: 'The cluster is authoritative.' };
  }
  const reason = `It spreads trust, and the cluster is ${state}: only an authoritative one may.`;
  return { ...about, refused: true, code: 'cluster_not_authoritative', reason };
}
