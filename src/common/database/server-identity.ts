import type { ReadTx, Tx } from '../transaction/tx.js';
import { sql } from './sql.js';

/** What names a database server and the history of its log. */
export interface ServerIdentity {
  /** null where the role of the service may not read it. */
  systemIdentifier: string | null;
  /** Grows with each promotion and point-in-time recovery; null on a standby. */
  timelineId: number | null;
}

/** How a server compares with the one that was remembered. */
export type ServerVerdict =
  /** Nothing was remembered. */
  | 'first'
  | 'same'
  /** The same as far as was known, with an identifier that could not be read before. */
  | 'identified'
  /** Another timeline: a promoted standby, or a recovery to a point in time. What was committed last may be missing. */
  | 'promoted'
  /** Another server: restored from a dump, copied, or upgraded by pg_upgrade. */
  | 'restored';

/** Compares a server with what is remembered of it. `fabric_server_is_known()` says the same of `same` in SQL. */
export function judgeServer(remembered: ServerIdentity, seen: ServerIdentity): ServerVerdict {
  if (seen.timelineId === null) return 'same';
  if (remembered.timelineId === null) return 'first';
  const [known, identifier] = [remembered.systemIdentifier, seen.systemIdentifier];
  if (known !== null && identifier !== null && known !== identifier) return 'restored';
  if (remembered.timelineId !== seen.timelineId) return 'promoted';
  return known === null && identifier !== null ? 'identified' : 'same';
}

type Query = ReadTx['query'];

/** What is remembered, and what there is. @param lock keep others from changing what is remembered */
export async function compareServers(
  query: Query,
  { lock = false } = {},
): Promise<{ remembered: ServerIdentity; seen: ServerIdentity }> {
  const [row] = await query<{
    remembered: string | null;
    rememberedTimeline: number | null;
    seen: string | null;
    seenTimeline: number | null;
  }>(sql`
    SELECT i.system_identifier AS remembered, i.timeline_id AS "rememberedTimeline",
           s.system_identifier AS seen, s.timeline_id AS "seenTimeline"
      FROM installation AS i CROSS JOIN fabric_server() AS s ${lock ? sql`FOR UPDATE OF i` : sql``}`);
  if (row === undefined) throw new Error('the table installation is empty');
  return {
    remembered: { systemIdentifier: row.remembered, timelineId: row.rememberedTimeline },
    seen: { systemIdentifier: row.seen, timelineId: row.seenTimeline },
  };
}

/** From here on this is the server that is remembered. An identifier that cannot be read is kept. */
export async function rememberServer(
  tx: Tx,
  { systemIdentifier, timelineId }: ServerIdentity,
): Promise<void> {
  await tx.query(sql`
    UPDATE installation AS i SET system_identifier = coalesce(${systemIdentifier}, i.system_identifier),
           timeline_id = ${timelineId}::integer`);
}
