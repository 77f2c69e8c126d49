-- Which database server this is: what `installation` remembers is compared with it, so that a promoted standby or a
-- restored copy is noticed before anything is granted on it.

-- The identifier is null where the role may not read it. The timeline is that of the log being written: the control
-- file shows a promotion only after the next checkpoint. It is null on a standby, where nothing is decided.
CREATE FUNCTION fabric_server(OUT system_identifier text, OUT timeline_id integer) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF has_function_privilege('pg_control_system()', 'EXECUTE') THEN
    system_identifier := (SELECT s.system_identifier::text FROM pg_control_system() AS s);
  END IF;
  IF NOT pg_is_in_recovery() THEN
    timeline_id := ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer;
  END IF;
END $$;

-- Whether it is the one that is remembered. False until somebody has looked at it, and nothing is granted meanwhile.
CREATE FUNCTION fabric_server_is_known() RETURNS boolean LANGUAGE sql VOLATILE AS $$
  SELECT coalesce(i.timeline_id = s.timeline_id
                  AND (s.system_identifier IS NULL OR i.system_identifier = s.system_identifier), false)
    FROM installation AS i, fabric_server() AS s
$$;
