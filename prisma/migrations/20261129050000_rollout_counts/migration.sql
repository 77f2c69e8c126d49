-- Assignments of each rollout by what is decided from their number, kept by triggers: to count 100,000 of them at each look
-- would keep everybody waiting who needs the lock of the product.
CREATE TABLE rollout_counts (
  rollout_id     uuid NOT NULL REFERENCES rollouts (id),
  direction      text NOT NULL,
  -- -1: in no wave.
  wave_position  integer NOT NULL,
  state          text NOT NULL,
  to_release_id  uuid NOT NULL REFERENCES releases (id),
  is_written_off boolean NOT NULL,
  -- 0: there were some. No CHECK: what is taken away is first offered for insertion as a negative number.
  nodes          integer NOT NULL,
  PRIMARY KEY (rollout_id, direction, wave_position, state, to_release_id, is_written_off)
) WITH (fillfactor = 50);

CREATE FUNCTION count_rollout_assignments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO rollout_counts AS c (rollout_id, direction, wave_position, state, to_release_id, is_written_off, nodes)
    SELECT n.rollout_id, n.direction, coalesce(n.wave_position, -1), n.state, n.to_release_id, n.is_written_off, count(*)
      FROM new_rows AS n GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (rollout_id, direction, wave_position, state, to_release_id, is_written_off)
    DO UPDATE SET nodes = c.nodes + excluded.nodes;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO rollout_counts AS c (rollout_id, direction, wave_position, state, to_release_id, is_written_off, nodes)
    SELECT o.rollout_id, o.direction, coalesce(o.wave_position, -1), o.state, o.to_release_id, o.is_written_off, -count(*)
      FROM old_rows AS o GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (rollout_id, direction, wave_position, state, to_release_id, is_written_off)
    DO UPDATE SET nodes = c.nodes + excluded.nodes;
  ELSE
    INSERT INTO rollout_counts AS c (rollout_id, direction, wave_position, state, to_release_id, is_written_off, nodes)
    SELECT b.rollout_id, b.direction, coalesce(b.wave_position, -1), b.state, b.to_release_id, b.is_written_off, sum(b.by)
      FROM (SELECT n.rollout_id, n.direction, n.wave_position, n.state, n.to_release_id, n.is_written_off, 1 AS by FROM new_rows AS n
            UNION ALL
            SELECT o.rollout_id, o.direction, o.wave_position, o.state, o.to_release_id, o.is_written_off, -1 FROM old_rows AS o) AS b
     GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(b.by) <> 0 ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (rollout_id, direction, wave_position, state, to_release_id, is_written_off)
    DO UPDATE SET nodes = c.nodes + excluded.nodes;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER rollout_assignments_counted_on_insert AFTER INSERT ON rollout_assignments
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_rollout_assignments();
CREATE TRIGGER rollout_assignments_counted_on_update AFTER UPDATE ON rollout_assignments
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_rollout_assignments();
CREATE TRIGGER rollout_assignments_counted_on_delete AFTER DELETE ON rollout_assignments
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION count_rollout_assignments();

INSERT INTO rollout_counts (rollout_id, direction, wave_position, state, to_release_id, is_written_off, nodes)
SELECT a.rollout_id, a.direction, coalesce(a.wave_position, -1), a.state, a.to_release_id, a.is_written_off, count(*)
  FROM rollout_assignments AS a GROUP BY 1, 2, 3, 4, 5, 6;

-- Most reports change no column that is indexed: with room in the page they touch no index.
ALTER TABLE rollout_assignments SET (fillfactor = 80);
