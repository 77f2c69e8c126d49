import type { ControlPlane } from '../control-plane.js';

/** Members that never call, written into the tables since no API would make so many so fast: on 1.0.0, just heard of. */
export async function crowd({ database }: ControlPlane, clusterId: string, count: number): Promise<void> {
  await database.query(
    `WITH made AS (
       INSERT INTO nodes (id) SELECT gen_random_uuid() FROM generate_series(1, $2::int) RETURNING id
     ), members AS (
       INSERT INTO cluster_memberships (cluster_id, node_id, name, agent_version, os, arch)
       SELECT $1::uuid, m.id, 'crowd-' || m.id, '1.0.0', 'linux', 'x64' FROM made AS m
     )
     INSERT INTO node_liveness (cluster_id, node_id, last_seen_at, sequence) SELECT $1::uuid, m.id, now(), 1 FROM made AS m`,
    [clusterId, count],
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
