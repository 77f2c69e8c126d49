-- Each grant asks whether the server is known, and the control file is read from disk for it (some 50 us). A session
-- belongs to one server for as long as it lasts, so that it reads the identifier once; the timeline, which a promotion
-- changes under sessions that live on, is in memory and is asked each time.
CREATE OR REPLACE FUNCTION fabric_server_is_known() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  identifier text := current_setting('fabric.system_identifier', true);
BEGIN
  IF coalesce(identifier, '') = '' THEN
    identifier := coalesce((SELECT s.system_identifier FROM fabric_server() AS s), 'unreadable');
    PERFORM set_config('fabric.system_identifier', identifier, false);
  END IF;
  IF pg_is_in_recovery() THEN
    RETURN false;
  END IF;
  RETURN coalesce((
    SELECT i.timeline_id = ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer
           AND (identifier = 'unreadable' OR i.system_identifier = identifier)
      FROM installation AS i), false);
END $$;
