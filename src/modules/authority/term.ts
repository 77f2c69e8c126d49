import { randomBytes } from 'node:crypto';
import type { AuditEvent } from '../../common/audit/audit-event.js';

/**
 * Why the service itself raised a term: each means that what was committed last may be missing from this database, so
 * that numbers which were given under the old term could be given again.
 */
export type TermCause = 'promotion' | 'restore' | 'restore_declared' | 'claim';

/** Why nothing goes over to a new owner for a while. */
export type HoldCause = TermCause | 'mass_lapse';

/** The longest lease that the contract knows. */
export const LONGEST_LEASE_SECONDS = 3_600;
/** For owners that notice the end of their lease late, and for clocks that run apart. */
export const GRACE_SECONDS = 60;

/** A term before and after it was raised. */
export interface RaisedTerm {
  clusterId: string;
  before: { term: number; holder: string };
  after: { term: number; holder: string };
}

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'authority.term_raised': {
      before: RaisedTerm['before'];
      after: RaisedTerm['after'] & { cause: TermCause };
    };
  }
}

/**
 * A new name for who holds an authority. Two copies of one database, both at work, then differ in it although they may
 * have raised the term alike; agents tell which one they follow.
 */
export function newHolder(): string {
  return `control-plane/${randomBytes(6).toString('hex')}`;
}

export function termRaised(
  { clusterId, before, after }: RaisedTerm,
  cause: TermCause,
  reason: string,
): AuditEvent {
  return {
    action: 'authority.term_raised',
    resource: { type: 'authority', id: clusterId, name: null },
    clusterId,
    outcome: 'success',
    highRisk: true,
    reason,
    before,
    after: { ...after, cause },
  };
}
