import { join, type Sql, sql } from '../../common/database/sql.js';
import { word, words } from '../../common/database/words.js';
import { ROLE_CATALOGUE, ROLE_NAMES } from './role-catalogue.js';

const cases = ROLE_NAMES.flatMap((name) => {
  const { requiredCapabilities } = ROLE_CATALOGUE[name];
  if (requiredCapabilities.length === 0) return [];
  return [sql`WHEN ${word(name)} THEN ARRAY[${words(requiredCapabilities)}]::text[]`];
});

/** What the role of the assignment `r` requires, as a `text[]`. */
const REQUIRED = sql`CASE r.role ${join(cases, ' ')} ELSE ARRAY[]::text[] END`;

/**
 * Whether the policy `p` denies something that the assignment `r` requires. Most deny nothing, and that is looked at
 * first: lists and counts ask it of every assignment.
 */
export const IS_CAPABILITY_DENIED = sql`coalesce(p.capability_policy ? 'denied'
  AND jsonb_exists_any(p.capability_policy -> 'denied', ${REQUIRED}), false)`;

/** Whether the member `m` does not report something that the assignment `r` requires. */
export const IS_CAPABILITY_MISSING = sql`NOT (${REQUIRED} <@ m.capabilities)`;

/**
 * Whether the assignment `r` of the member `m` under the policy `p` is effective at `now`: that `ineffectiveReason`
 * finds nothing, for statements that count. A test compares the two.
 */
export function effectiveAt(now: Date): Sql {
  return sql`(r.status = 'active' AND m.membership_status = 'active'
    AND (r.valid_from IS NULL OR r.valid_from <= ${now}) AND (r.valid_until IS NULL OR r.valid_until > ${now})
    AND NOT (${IS_CAPABILITY_MISSING}) AND NOT ${IS_CAPABILITY_DENIED})`;
}
