-- The audit log: append-only, partitioned by month. The role that runs the service may insert and select only.

CREATE TABLE audit_events (
  id               uuid NOT NULL,
  occurred_at      timestamptz(3) NOT NULL DEFAULT now(),
  actor_type       text NOT NULL CONSTRAINT audit_events_actor_type
                   CHECK (actor_type IN ('user', 'api_token', 'bootstrap', 'node', 'system', 'anonymous')),
  actor_id         text,
  actor_name       text,
  actor_ip         text,
  actor_user_agent text,
  action           text NOT NULL CONSTRAINT audit_events_action CHECK (action ~ '^[a-z_]+\.[a-z_]+$'),
  resource_type    text NOT NULL,
  resource_id      text,
  resource_name    text,
  cluster_id       uuid,
  organization_id  uuid,
  outcome          text NOT NULL CONSTRAINT audit_events_outcome CHECK (outcome IN ('success', 'denied', 'failed')),
  high_risk        boolean NOT NULL,
  request_id       text,
  reason           text,
  before           jsonb,
  after            jsonb,
  PRIMARY KEY (id, occurred_at)
) PARTITION BY RANGE (occurred_at);

CREATE TABLE audit_events_default PARTITION OF audit_events DEFAULT;

CREATE INDEX audit_events_occurred_at ON audit_events (occurred_at DESC, id DESC);
CREATE INDEX audit_events_cluster ON audit_events (cluster_id, occurred_at DESC, id DESC);
CREATE INDEX audit_events_actor ON audit_events (actor_id, occurred_at DESC, id DESC);
CREATE INDEX audit_events_action ON audit_events (action, occurred_at DESC, id DESC);
CREATE INDEX audit_events_resource ON audit_events (resource_id, occurred_at DESC, id DESC);
CREATE INDEX audit_events_request ON audit_events (request_id);
CREATE INDEX audit_events_high_risk ON audit_events (occurred_at DESC, id DESC) WHERE high_risk;

-- Grants bind only a role that is not the owner; the trigger also stops a slip of the owner's.
CREATE FUNCTION refuse_rewriting_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit events are never changed or removed' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE ON audit_events
  FOR EACH ROW EXECUTE FUNCTION refuse_rewriting_history();

-- Makes the partitions of this month and the `months_ahead` that follow, where they are missing.
CREATE FUNCTION ensure_audit_partitions(months_ahead integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  month_start timestamptz;
  partition text;
  made integer := 0;
BEGIN
  FOR ahead IN 0..months_ahead LOOP
    month_start := date_trunc('month', (now() AT TIME ZONE 'UTC') + make_interval(months => ahead)) AT TIME ZONE 'UTC';
    partition := 'audit_events_' || to_char(month_start AT TIME ZONE 'UTC', 'YYYY_MM');
    IF to_regclass(format('%I', partition)) IS NULL THEN
      BEGIN
        EXECUTE format('CREATE TABLE %I PARTITION OF audit_events FOR VALUES FROM (%L) TO (%L)', partition,
          month_start, ((month_start AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC');
        made := made + 1;
      EXCEPTION WHEN check_violation THEN
        -- The DEFAULT partition holds events of that month already; they stay there, and lose nothing but speed.
        NULL;
      END;
    END IF;
  END LOOP;
  RETURN made;
END $$;
SELECT ensure_audit_partitions(12);
