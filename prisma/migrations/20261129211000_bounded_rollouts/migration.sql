-- What is done for every node of a rollout is done for some of them at a time, in the order of their ids: up to which node
-- it has been. null: for all, or there is nothing to do.
ALTER TABLE rollouts
  -- Ways back are planned.
  ADD COLUMN ways_back_after uuid,
  -- The version that the rollout has proved is noted as the last good one.
  ADD COLUMN good_after uuid;
CREATE INDEX rollouts_unsettled ON rollouts (id) WHERE ways_back_after IS NOT NULL OR good_after IS NOT NULL;

-- Few nodes are fenced: a wave that opens asks for these.
CREATE INDEX node_versions_fenced ON node_versions (cluster_id, product_id, node_id) WHERE is_fenced;

-- Kept numbers say whether somebody is still to be led back.
DROP INDEX rollout_assignments_returning;

-- What nodes report of their way forward, by number: to count 100,000 of them took 75 ms of each decision.
CREATE TABLE rollout_update_counts (
  rollout_id  uuid NOT NULL REFERENCES rollouts (id),
  node_state  text NOT NULL,
  -- 0: there were some. No CHECK: what is taken away is first offered for insertion as a negative number.
  nodes       integer NOT NULL,
  PRIMARY KEY (rollout_id, node_state)
) WITH (fillfactor = 50);

CREATE FUNCTION count_rollout_updates() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO rollout_update_counts AS c (rollout_id, node_state, nodes)
    SELECT n.rollout_id, n.node_state, count(*) FROM new_rows AS n
     WHERE n.direction = 'forward' AND n.state <> 'skipped' GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (rollout_id, node_state) DO UPDATE SET nodes = c.nodes + excluded.nodes;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO rollout_update_counts AS c (rollout_id, node_state, nodes)
    SELECT o.rollout_id, o.node_state, -count(*) FROM old_rows AS o
     WHERE o.direction = 'forward' AND o.state <> 'skipped' GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (rollout_id, node_state) DO UPDATE SET nodes = c.nodes + excluded.nodes;
  ELSE
    INSERT INTO rollout_update_counts AS c (rollout_id, node_state, nodes)
    SELECT b.rollout_id, b.node_state, sum(b.by)
      FROM (SELECT n.rollout_id, n.node_state, 1 AS by FROM new_rows AS n WHERE n.direction = 'forward' AND n.state <> 'skipped'
            UNION ALL
            SELECT o.rollout_id, o.node_state, -1 FROM old_rows AS o WHERE o.direction = 'forward' AND o.state <> 'skipped') AS b
     GROUP BY 1, 2 HAVING sum(b.by) <> 0 ORDER BY 1, 2
    ON CONFLICT (rollout_id, node_state) DO UPDATE SET nodes = c.nodes + excluded.nodes;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER rollout_assignments_updates_counted_on_insert AFTER INSERT ON rollout_assignments
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_rollout_updates();
CREATE TRIGGER rollout_assignments_updates_counted_on_update AFTER UPDATE ON rollout_assignments
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_rollout_updates();
CREATE TRIGGER rollout_assignments_updates_counted_on_delete AFTER DELETE ON rollout_assignments
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION count_rollout_updates();

INSERT INTO rollout_update_counts (rollout_id, node_state, nodes)
SELECT a.rollout_id, a.node_state, count(*) FROM rollout_assignments AS a
 WHERE a.direction = 'forward' AND a.state <> 'skipped' GROUP BY 1, 2;
