import { unavailable } from '../../common/errors/domain-error.js';
import type { AuthorityView } from './authority.schema.js';
import type { HoldCause } from './term.js';

/** Whether a cluster's control may spread trust, and under which term. */
export interface Authority {
  clusterId: string;
  state: AuthorityView['state'];
  term: number;
  holder: string;
  since: Date;
  /** Until when nothing goes over to a new owner; null when nothing holds it. */
  takeoversHeldUntil: Date | null;
  /** Why; the gravest cause of those that hold it. */
  takeoversHeldFor: HoldCause | null;
  /** The open ones; instants as the database writes them in JSON. */
  partitions: AuthorityView['partitions'];
}

/** The authority as the API shows it. */
export function authorityView(authority: Authority): AuthorityView {
  const { state, term, holder, since, takeoversHeldUntil, partitions } = authority;
  const instant = (text: string) => new Date(text).toISOString();
  return {
    state,
    term,
    holder,
    since: since.toISOString(),
    takeoversHeldUntil: takeoversHeldUntil?.toISOString() ?? null,
    partitions: partitions.map((partition) => ({
      ...partition,
      since: instant(partition.since),
      clearedAt: partition.clearedAt === null ? null : instant(partition.clearedAt),
    })),
  };
}

/** Seconds after which whoever was refused may hope: the feed notices another server within one. */
const RETRY_AFTER_SECONDS = 2;

/**
 * A database that was promoted or restored grants nothing until the terms are raised: what was granted last may be
 * missing from it, and would be granted again under the same numbers.
 * @throws unavailable
 */
export function requireKnownServer({ isServerKnown }: { isServerKnown: boolean }): void {
  if (isServerKnown) return;
  throw unavailable('unavailable', 'The database was promoted or restored, and its terms are being raised.', {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  });
}
