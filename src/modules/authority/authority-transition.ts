import type { AuditEvent } from '../../common/audit/audit-event.js';
import { conflict } from '../../common/errors/domain-error.js';
import type { Authority } from './authority.js';

/** The states of a cluster's authority. Only `authoritative` may spread trust. */
export type AuthorityState = Authority['state'];

/**
 * Where the authority may go from each state, by an operator. Less of it is one step away from everywhere but `fenced`,
 * which is left through `recovering` alone: whoever fenced a cluster wants somebody to look before it works again.
 */
export const NEXT_AUTHORITY_STATE: Record<AuthorityState, readonly AuthorityState[]> = {
  authoritative: ['partitioned', 'degraded', 'fenced'],
  degraded: ['partitioned', 'fenced', 'authoritative', 'recovering'],
  partitioned: ['degraded', 'fenced', 'authoritative', 'recovering'],
  recovering: ['partitioned', 'degraded', 'fenced', 'authoritative'],
  fenced: ['recovering'],
};

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'authority.transitioned': {
      before: { state: AuthorityState; term: number };
      after: { state: AuthorityState; term: number };
    };
  }
}

/** A move that an operator asks for. */
export interface Transition {
  to: AuthorityState;
  /** The term that the operator has seen; another one means that somebody else was there. */
  expectedTerm: number;
}

/** What a move comes to; null where the authority is in that state already and nothing changes. */
export type Moved = Pick<Authority, 'state' | 'term'> | null;

/**
 * Where the move leads. Each move to `authoritative` opens a new term, so that nothing issued under the old one is
 * taken for what holds now. Asking for the state that holds already changes nothing, save for `authoritative`: there
 * the caller means a new term, and gets none.
 * @throws conflict `authority_term_conflict`, then `authority_transition_invalid`
 */
export function moved(current: Pick<Authority, 'state' | 'term'>, { to, expectedTerm }: Transition): Moved {
  const { state, term } = current;
  if (expectedTerm !== term) {
    throw conflict('authority_term_conflict', `The cluster is in term ${term}, not in ${expectedTerm}.`, {
      extensions: { term, authorityState: state },
    });
  }
  if (to === state && to !== 'authoritative') return null;
  const allowed = NEXT_AUTHORITY_STATE[state];
  if (!allowed.includes(to)) {
    throw conflict('authority_transition_invalid', `The authority cannot go from ${state} to ${to}.`, {
      extensions: { authorityState: state, allowed },
    });
  }
  return { state: to, term: to === 'authoritative' ? term + 1 : term };
}

/** The event of a move. */
export function authorityTransitioned(
  before: Authority,
  { state, term }: Pick<Authority, 'state' | 'term'>,
  reason: string,
): AuditEvent {
  return {
    action: 'authority.transitioned',
    resource: { type: 'authority', id: before.clusterId, name: null },
    clusterId: before.clusterId,
    outcome: 'success',
    reason,
    before: { state: before.state, term: before.term },
    after: { state, term },
  };
}
