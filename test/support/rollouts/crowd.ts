import type { ControlPlane } from '../control-plane.js';

/** Members that never call, written into the tables since no API would make so many so fast: on 1.0.0, just heard of.
 *  @param others how many of them are no `linux/x64`, by what they are */
export async function crowd(
  { database }: ControlPlane,
  clusterId: string,
  count: number,
  others: Readonly<Record<string, number>> = {},
): Promise<void> {
  const systems = Object.entries(others).flatMap(([system, nodes]) => Array<string>(nodes).fill(system));
  await database.query(
    `WITH made AS (
       INSERT INTO nodes (id) SELECT gen_random_uuid() FROM generate_series(1, $2::int) RETURNING id
     ), systems AS (
       SELECT m.id, coalesce(($3::text[])[row_number() OVER ()], 'linux/x64') AS name FROM made AS m
     ), members AS (
       INSERT INTO cluster_memberships (cluster_id, node_id, name, agent_version, os, arch)
       SELECT $1::uuid, s.id, 'crowd-' || s.id, '1.0.0', split_part(s.name, '/', 1), split_part(s.name, '/', 2) FROM systems AS s
     )
     INSERT INTO node_liveness (cluster_id, node_id, last_seen_at, sequence) SELECT $1::uuid, m.id, now(), 1 FROM made AS m`,
    [clusterId, count, systems],
  );
}

/** What every node of the crowd that is in one of these states is to have reported, without having called. */
export async function crowdReaches(
  { database }: ControlPlane,
  rolloutId: string,
  from: readonly string[],
  to: { state: string; nodeState: string },
): Promise<void> {
  const moved = await database.query(
    `UPDATE rollout_assignments AS a SET state = $3, node_state = $4
      WHERE a.rollout_id = $1 AND a.state = ANY($2::text[]) RETURNING a.id`,
    [rolloutId, from, to.state, to.nodeState],
  );
  if (moved.length === 0) throw new Error(`nobody is ${from.join(' or ')}`);
  if (to.state !== 'ok') return;
  await database.query(
    'DELETE FROM update_slots AS s USING rollout_assignments AS a WHERE a.id = s.assignment_id AND a.rollout_id = $1',
    [rolloutId],
  );
}
