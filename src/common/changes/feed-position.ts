/**
 * What a reader of the feed has seen: everything that was committed at one instant of the database. Exactly the rows
 * of the transactions that were open then, and of later ones, are new to it.
 */
export interface FeedPosition {
  /** `pg_snapshot` in its text form, `xmin:xmax:xip,...`. */
  readonly snapshot: string;
  /** Transactions from this one on had not begun. */
  readonly xmax: string;
  /** Transactions below `xmax` that were still open. */
  readonly inProgress: readonly string[];
}

const SNAPSHOT = /^\d+:(\d+):((?:\d+(?:,\d+)*)?)$/;

/** Reads the text form of a `pg_snapshot`. @throws Error when it is none */
export function feedPosition(snapshot: string): FeedPosition {
  const match = SNAPSHOT.exec(snapshot);
  if (match === null) throw new Error(`not a snapshot: ${snapshot}`);
  const open = match[2] ?? '';
  return { snapshot, xmax: match[1] ?? '', inProgress: open === '' ? [] : open.split(',') };
}

/** Whether the database's transactions have gone back to before `seen`: it is another one, or an older copy. */
export function wentBack(seen: FeedPosition, now: FeedPosition): boolean {
  return BigInt(now.xmax) < BigInt(seen.xmax);
}
