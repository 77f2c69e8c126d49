/** A list is made anew this often, whether or not anything was revoked. */
const ISSUE_SECONDS = 3_600;
/** For so long a list is good: a node that has lost the service goes on for a day, the life of a certificate. */
const LIFETIME_SECONDS = 86_400;

/** One issue of a revocation list: the same for every instance within its hour. */
export interface CrlIssue {
  number: number;
  thisUpdate: Date;
  nextUpdate: Date;
}

/** The issue that is due at `now`. It is dated to the second: later than everything that it names. */
export function crlIssue(now: Date): CrlIssue {
  const seconds = Math.floor(now.getTime() / 1000);
  return {
    number: Math.floor(seconds / ISSUE_SECONDS),
    thisUpdate: new Date(seconds * 1000),
    nextUpdate: new Date((seconds + LIFETIME_SECONDS) * 1000),
  };
}
