-- The time by which somebody last decided over a connection's lease, so that a clock that steps back by less than
-- database_clock covers undoes no decision. Renewals leave theirs on the lease; everything else writes it here. In no
-- index, so that it is a HOT update.
ALTER TABLE vpn_connections ADD COLUMN decided_at timestamptz(3);
UPDATE vpn_connections AS c SET decided_at = fabric_now() WHERE c.deleted_at IS NULL;

CREATE TRIGGER vpn_connections_decisions_go_forward BEFORE UPDATE OF decided_at ON vpn_connections
  FOR EACH ROW WHEN (OLD.decided_at IS NOT NULL AND (NEW.decided_at IS NULL OR NEW.decided_at < OLD.decided_at))
  EXECUTE FUNCTION refuse_vpn_change('the time of decisions over a lease goes forward');

-- A lease begins at a decision, and none comes before one that was made.
CREATE FUNCTION check_vpn_lease_begins_last() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM vpn_connections AS c WHERE c.id = NEW.connection_id AND c.decided_at > NEW.acquired_at) THEN
    RAISE EXCEPTION 'a lease begins before an earlier decision' USING ERRCODE = 'check_violation', CONSTRAINT = 'vpn_connection_leases_begin_last';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER vpn_connection_leases_begin_last BEFORE INSERT ON vpn_connection_leases
  FOR EACH ROW EXECUTE FUNCTION check_vpn_lease_begins_last();
