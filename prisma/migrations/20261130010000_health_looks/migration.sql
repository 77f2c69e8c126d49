-- Nodes whose health may be another than what is written down, and from when on: kept by triggers, so that the watch need
-- not read every member to find the few whose health has changed. Several rows of one node do no harm. Without a key to
-- the membership: who changes one would otherwise wait for the watch.
CREATE TABLE node_health_looks (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  cluster_id  uuid NOT NULL,
  -- NULL: at all nodes of the cluster.
  node_id     uuid,
  due_at      timestamptz(3) NOT NULL
);
CREATE INDEX node_health_looks_due ON node_health_looks (due_at);

-- Rows that say something of a node. Where they are very many, all of the cluster are looked at as one.
CREATE FUNCTION look_at_health() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT count(*) FROM changed) > 1000 THEN
    INSERT INTO node_health_looks (cluster_id, node_id, due_at)
    SELECT DISTINCT c.cluster_id, NULL::uuid, '-infinity'::timestamptz FROM changed AS c;
  ELSE
    INSERT INTO node_health_looks (cluster_id, node_id, due_at)
    SELECT DISTINCT c.cluster_id, c.node_id, '-infinity'::timestamptz FROM changed AS c;
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION look_at_health_of_member() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO node_health_looks (cluster_id, node_id, due_at) VALUES (NEW.cluster_id, NEW.node_id, '-infinity');
  RETURN NULL;
END $$;

-- A role that ends takes with it what is wrong with it.
CREATE FUNCTION look_at_health_when_roles_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO node_health_looks (cluster_id, node_id, due_at)
  SELECT c.cluster_id, c.node_id, c.valid_until FROM changed AS c WHERE c.valid_until > now();
  RETURN NULL;
END $$;

CREATE FUNCTION look_at_health_when_certificates_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO node_health_looks (cluster_id, node_id, due_at)
  SELECT c.cluster_id, c.node_id, c.not_after FROM changed AS c WHERE c.not_after > now();
  RETURN NULL;
END $$;

-- A node was heard of earlier than the watch can know, who reckons that nobody falls silent sooner than those of whom it has
-- read when they were last heard of: a time that is written by hand. Heartbeats are of now.
CREATE FUNCTION look_at_health_when_silent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO node_health_looks (cluster_id, node_id, due_at)
  SELECT NEW.cluster_id, NEW.node_id, d.due_at
    FROM cluster_policies AS p
   CROSS JOIN LATERAL (VALUES ('-infinity'::timestamptz),
     (NEW.last_seen_at + make_interval(secs => p.heartbeat_seconds * p.stale_after_missed))) AS d (due_at)
   WHERE p.cluster_id = NEW.cluster_id;
  RETURN NULL;
END $$;

CREATE TRIGGER node_liveness_begins AFTER INSERT ON node_liveness
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health();
CREATE TRIGGER node_liveness_begins_early AFTER INSERT ON node_liveness
  FOR EACH ROW WHEN (NEW.last_seen_at < now() - interval '1 minute') EXECUTE FUNCTION look_at_health_when_silent();
CREATE TRIGGER node_liveness_goes_back AFTER UPDATE OF last_seen_at ON node_liveness
  FOR EACH ROW WHEN (NEW.last_seen_at < OLD.last_seen_at) EXECUTE FUNCTION look_at_health_when_silent();

-- Of the members' many columns few matter, and the rest change often.
CREATE TRIGGER cluster_memberships_health AFTER UPDATE OF membership_status, agent_version, capabilities ON cluster_memberships
  FOR EACH ROW WHEN (NEW.membership_status <> OLD.membership_status OR NEW.agent_version IS DISTINCT FROM OLD.agent_version
                     OR NEW.capabilities <> OLD.capabilities)
  EXECUTE FUNCTION look_at_health_of_member();

CREATE TRIGGER node_service_instances_health_on_insert AFTER INSERT ON node_service_instances
  FOR EACH ROW WHEN (NEW.is_failed) EXECUTE FUNCTION look_at_health_of_member();
CREATE TRIGGER node_service_instances_health_on_update AFTER UPDATE ON node_service_instances
  FOR EACH ROW WHEN (NEW.is_failed <> OLD.is_failed) EXECUTE FUNCTION look_at_health_of_member();
CREATE TRIGGER node_service_instances_health_on_delete AFTER DELETE ON node_service_instances
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health();

CREATE TRIGGER node_identities_health_on_insert AFTER INSERT ON node_identities
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health();
CREATE TRIGGER node_identities_health_on_update AFTER UPDATE ON node_identities
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health();
CREATE TRIGGER node_identities_health_on_delete AFTER DELETE ON node_identities
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health();

CREATE TRIGGER node_risky_states_health_on_insert AFTER INSERT ON node_risky_states
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health();
CREATE TRIGGER node_risky_states_health_on_update AFTER UPDATE ON node_risky_states
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health();
CREATE TRIGGER node_risky_states_health_on_delete AFTER DELETE ON node_risky_states
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health();

CREATE TRIGGER node_role_assignments_health_on_insert AFTER INSERT ON node_role_assignments
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health();
CREATE TRIGGER node_role_assignments_health_on_update AFTER UPDATE ON node_role_assignments
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health();
CREATE TRIGGER node_role_assignments_health_on_delete AFTER DELETE ON node_role_assignments
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health();
CREATE TRIGGER node_role_assignments_ends_on_insert AFTER INSERT ON node_role_assignments
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health_when_roles_end();
CREATE TRIGGER node_role_assignments_ends_on_update AFTER UPDATE ON node_role_assignments
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health_when_roles_end();

CREATE TRIGGER node_certificates_health_on_insert AFTER INSERT ON node_certificates
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health();
CREATE TRIGGER node_certificates_health_on_update AFTER UPDATE ON node_certificates
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health();
CREATE TRIGGER node_certificates_health_on_delete AFTER DELETE ON node_certificates
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health();
CREATE TRIGGER node_certificates_ends_on_insert AFTER INSERT ON node_certificates
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health_when_certificates_end();
CREATE TRIGGER node_certificates_ends_on_update AFTER UPDATE ON node_certificates
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION look_at_health_when_certificates_end();

-- What is so now each process looks at once, when it starts.
INSERT INTO node_health_looks (cluster_id, node_id, due_at)
SELECT r.cluster_id, r.node_id, r.valid_until FROM node_role_assignments AS r WHERE r.valid_until > now()
UNION ALL
SELECT n.cluster_id, n.node_id, n.not_after FROM node_certificates AS n WHERE n.not_after > now();

-- Those of whom it is asked again and again whether they are back: few, mostly.
CREATE INDEX node_health_records_silent ON node_health_records (cluster_id, node_id) WHERE health IN ('stale', 'offline');
