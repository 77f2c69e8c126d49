-- VPN/IP-tunnel connections, who may hold them, and the fenced leases by which at most one node at a time does.

CREATE TABLE vpn_connections (
  id                             uuid PRIMARY KEY,
  cluster_id                     uuid NOT NULL REFERENCES clusters (id),
  organization_id                uuid,
  name                           text NOT NULL CONSTRAINT vpn_connections_name CHECK (length(name) BETWEEN 1 AND 200),
  kind                           text NOT NULL CONSTRAINT vpn_connections_kind CHECK (kind IN ('exit', 'connector')),
  desired_state                  text NOT NULL CONSTRAINT vpn_connections_desired_state CHECK (desired_state IN ('enabled', 'disabled')),
  -- Where the credentials are kept, never the credentials. Written by operators, read by nothing that answers.
  credential_ref                 text CONSTRAINT vpn_connections_credential_ref CHECK (length(credential_ref) BETWEEN 1 AND 512),
  lease_ttl_seconds              integer NOT NULL CONSTRAINT vpn_connections_lease_ttl CHECK (lease_ttl_seconds BETWEEN 5 AND 3600),
  -- How long a preferred node must have been well before the lease goes back to it; null: never.
  failback_after_stable_seconds  integer CONSTRAINT vpn_connections_failback CHECK (failback_after_stable_seconds BETWEEN 1 AND 604800),
  -- The sequence of the last fencing token, given out or skipped by a fence; grows for ever.
  last_sequence                  bigint NOT NULL DEFAULT 0 CONSTRAINT vpn_connections_sequence CHECK (last_sequence BETWEEN 0 AND 4294967295),
  -- Until when nobody may acquire it after a fence.
  fence_held_until               timestamptz(3),
  -- A handover: until when only this node may follow the holder.
  reserved_node_id               uuid,
  reserved_until                 timestamptz(3),
  -- Since when it may be held: its creation, or the last time that it was enabled.
  enabled_at                     timestamptz(3) NOT NULL,
  created_at                     timestamptz(3) NOT NULL,
  updated_at                     timestamptz(3) NOT NULL,
  deleted_at                     timestamptz(3),
  CONSTRAINT vpn_connections_in_cluster UNIQUE (cluster_id, id),
  CONSTRAINT vpn_connections_reserved_for_member
    FOREIGN KEY (cluster_id, reserved_node_id) REFERENCES cluster_memberships (cluster_id, node_id),
  CONSTRAINT vpn_connections_reservation CHECK ((reserved_node_id IS NULL) = (reserved_until IS NULL)),
  CONSTRAINT vpn_connections_deleted_holds_nothing
    CHECK (deleted_at IS NULL OR (desired_state = 'disabled' AND credential_ref IS NULL AND reserved_node_id IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX vpn_connections_newest ON vpn_connections (cluster_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX vpn_connections_reserved ON vpn_connections (cluster_id, reserved_node_id) WHERE reserved_node_id IS NOT NULL;

-- Which nodes may hold a connection. No row: no node.
CREATE TABLE vpn_connection_allowed_nodes (
  cluster_id     uuid NOT NULL,
  connection_id  uuid NOT NULL,
  node_id        uuid NOT NULL,
  -- Place in the order of preference, from 0; null: not among the preferred.
  preference     integer CONSTRAINT vpn_connection_allowed_nodes_preference CHECK (preference >= 0),
  PRIMARY KEY (connection_id, node_id),
  FOREIGN KEY (cluster_id, connection_id) REFERENCES vpn_connections (cluster_id, id),
  CONSTRAINT vpn_connection_allowed_nodes_are_members
    FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id),
  CONSTRAINT vpn_connection_allowed_nodes_one_preference UNIQUE (connection_id, preference) DEFERRABLE
);
CREATE INDEX vpn_connection_allowed_nodes_node ON vpn_connection_allowed_nodes (cluster_id, node_id);

-- What may be reached through a connection. The type refuses bits beyond the prefix; the same network twice at one
-- priority is refused whatever the actions are, since then nobody could say which of them counts.
CREATE TABLE vpn_connection_route_policies (
  connection_id  uuid NOT NULL REFERENCES vpn_connections (id),
  position       integer NOT NULL CONSTRAINT vpn_connection_route_policies_position CHECK (position >= 0),
  priority       integer NOT NULL CONSTRAINT vpn_connection_route_policies_priority CHECK (priority BETWEEN 0 AND 65535),
  cidr           cidr NOT NULL,
  action         text NOT NULL CONSTRAINT vpn_connection_route_policies_action CHECK (action IN ('allow', 'deny')),
  PRIMARY KEY (connection_id, position),
  CONSTRAINT vpn_connection_route_policies_once UNIQUE (connection_id, priority, cidr)
);

-- One row per owner period. What a renewal changes is fixed-width and in no index, in a page with room: renewals stay HOT.
CREATE TABLE vpn_connection_leases (
  id              uuid PRIMARY KEY,
  cluster_id      uuid NOT NULL,
  connection_id   uuid NOT NULL,
  owner_node_id   uuid NOT NULL,
  status          text NOT NULL DEFAULT 'active' CONSTRAINT vpn_connection_leases_status
                  CHECK (status IN ('active', 'released', 'expired', 'fenced')),
  -- authority term * 2^32 + sequence, so that not even a lost database repeats one.
  fencing_token   bigint NOT NULL CONSTRAINT vpn_connection_leases_token CHECK (fencing_token BETWEEN 4294967296 AND 9007199254740991),
  acquired_at     timestamptz(3) NOT NULL,
  renewed_at      timestamptz(3) NOT NULL,
  -- Exclusive: at this instant it is over, whether or not anybody has written that down.
  expires_at      timestamptz(3) NOT NULL,
  -- When the owner's role runs out by the time alone; null: no end. No expiry lies behind it.
  eligible_until  timestamptz(3),
  ttl_seconds     integer NOT NULL,
  renewal_count   integer NOT NULL DEFAULT 0,
  ended_at        timestamptz(3),
  end_reason      text CONSTRAINT vpn_connection_leases_end_reason CHECK (length(end_reason) BETWEEN 1 AND 500),
  FOREIGN KEY (cluster_id, connection_id) REFERENCES vpn_connections (cluster_id, id),
  CONSTRAINT vpn_connection_leases_owner_is_member
    FOREIGN KEY (cluster_id, owner_node_id) REFERENCES cluster_memberships (cluster_id, node_id),
  CONSTRAINT vpn_connection_leases_token_is_unique UNIQUE (connection_id, fencing_token),
  CONSTRAINT vpn_connection_leases_times CHECK (acquired_at <= renewed_at AND acquired_at < expires_at),
  CONSTRAINT vpn_connection_leases_within_role CHECK (expires_at <= eligible_until),
  CONSTRAINT vpn_connection_leases_ended CHECK ((status = 'active') = (ended_at IS NULL) AND (status = 'active') = (end_reason IS NULL)),
  CONSTRAINT vpn_connection_leases_ended_at CHECK (ended_at BETWEEN acquired_at AND expires_at AND (status <> 'expired' OR ended_at = expires_at))
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX vpn_connection_leases_one_active ON vpn_connection_leases (connection_id) WHERE status = 'active';
CREATE INDEX vpn_connection_leases_owner ON vpn_connection_leases (cluster_id, owner_node_id) WHERE status = 'active';

-- What each node says of a connection that it may hold; the latest word of each.
CREATE TABLE vpn_assignment_statuses (
  cluster_id     uuid NOT NULL,
  connection_id  uuid NOT NULL,
  node_id        uuid NOT NULL,
  status         text NOT NULL CONSTRAINT vpn_assignment_statuses_status
                 CHECK (status IN ('not_started', 'assigned', 'lease_required', 'blocked', 'unknown')),
  message        text CONSTRAINT vpn_assignment_statuses_message CHECK (length(message) BETWEEN 1 AND 500),
  reported_at    timestamptz(3) NOT NULL,
  PRIMARY KEY (connection_id, node_id),
  FOREIGN KEY (cluster_id, connection_id) REFERENCES vpn_connections (cluster_id, id),
  FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id)
) WITH (fillfactor = 70);

-- The last referee of the rules that one row cannot state. The service never gets here; whoever does has a fault.

CREATE FUNCTION refuse_vpn_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
END $$;

CREATE TRIGGER vpn_connections_sequence_only_grows BEFORE UPDATE OF last_sequence ON vpn_connections
  FOR EACH ROW WHEN (NEW.last_sequence < OLD.last_sequence)
  EXECUTE FUNCTION refuse_vpn_change('the sequence of fencing tokens only grows');
CREATE TRIGGER vpn_connections_deleted_is_final BEFORE UPDATE ON vpn_connections
  FOR EACH ROW WHEN (OLD.deleted_at IS NOT NULL)
  EXECUTE FUNCTION refuse_vpn_change('a deleted connection stays deleted');

CREATE TRIGGER vpn_connection_leases_ended_is_final BEFORE UPDATE ON vpn_connection_leases
  FOR EACH ROW WHEN (OLD.status <> 'active')
  EXECUTE FUNCTION refuse_vpn_change('a finished lease never lives again');
CREATE TRIGGER vpn_connection_leases_keep_identity BEFORE UPDATE ON vpn_connection_leases
  FOR EACH ROW WHEN (NEW.id <> OLD.id OR NEW.connection_id <> OLD.connection_id OR NEW.cluster_id <> OLD.cluster_id
    OR NEW.owner_node_id <> OLD.owner_node_id OR NEW.fencing_token <> OLD.fencing_token OR NEW.acquired_at <> OLD.acquired_at)
  EXECUTE FUNCTION refuse_vpn_change('owner and token of a lease never change');
-- A holder whose answer is lost believes in the expiry that it knows.
CREATE TRIGGER vpn_connection_leases_renewal_only_extends BEFORE UPDATE ON vpn_connection_leases
  FOR EACH ROW WHEN (NEW.renewal_count > OLD.renewal_count AND (NEW.expires_at < OLD.expires_at OR NEW.renewed_at < OLD.renewed_at))
  EXECUTE FUNCTION refuse_vpn_change('a renewal shortens no lease');
CREATE TRIGGER vpn_connection_leases_active_stays BEFORE DELETE ON vpn_connection_leases
  FOR EACH ROW WHEN (OLD.status = 'active')
  EXECUTE FUNCTION refuse_vpn_change('an active lease is ended, not removed');

-- A lease begins for a node that is allowed, on a connection that is enabled, with a token above all before it.
CREATE FUNCTION check_new_vpn_lease() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  connection record;
BEGIN
  SELECT c.desired_state, c.last_sequence INTO connection FROM vpn_connections AS c WHERE c.id = NEW.connection_id;
  IF connection.desired_state <> 'enabled' THEN
    RAISE EXCEPTION 'the connection is disabled' USING ERRCODE = 'check_violation', CONSTRAINT = 'vpn_connection_leases_enabled';
  END IF;
  IF NEW.fencing_token % 4294967296 <> connection.last_sequence
     OR EXISTS (SELECT 1 FROM vpn_connection_leases AS l WHERE l.connection_id = NEW.connection_id AND l.fencing_token >= NEW.fencing_token) THEN
    RAISE EXCEPTION 'a fencing token is above all before it' USING ERRCODE = 'check_violation', CONSTRAINT = 'vpn_connection_leases_token_grows';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM vpn_connection_allowed_nodes AS a WHERE a.connection_id = NEW.connection_id AND a.node_id = NEW.owner_node_id) THEN
    RAISE EXCEPTION 'the owner is not allowed' USING ERRCODE = 'check_violation', CONSTRAINT = 'vpn_connection_leases_owner_is_allowed';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER vpn_connection_leases_checked BEFORE INSERT ON vpn_connection_leases
  FOR EACH ROW EXECUTE FUNCTION check_new_vpn_lease();

-- What a lease rests on goes only after the lease.
CREATE FUNCTION refuse_under_active_vpn_lease() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_TABLE_NAME = 'vpn_connections' THEN
    IF NOT EXISTS (SELECT 1 FROM vpn_connection_leases AS l WHERE l.connection_id = OLD.id AND l.status = 'active') THEN
      RETURN NEW;
    END IF;
  ELSIF NOT EXISTS (SELECT 1 FROM vpn_connection_leases AS l
                     WHERE l.connection_id = OLD.connection_id AND l.owner_node_id = OLD.node_id AND l.status = 'active') THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'a lease still rests on it' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
END $$;
CREATE TRIGGER vpn_connections_disabled_without_lease BEFORE UPDATE OF desired_state ON vpn_connections
  FOR EACH ROW WHEN (NEW.desired_state = 'disabled' AND OLD.desired_state <> 'disabled')
  EXECUTE FUNCTION refuse_under_active_vpn_lease();
CREATE TRIGGER vpn_connection_allowed_nodes_without_lease BEFORE DELETE ON vpn_connection_allowed_nodes
  FOR EACH ROW EXECUTE FUNCTION refuse_under_active_vpn_lease();
