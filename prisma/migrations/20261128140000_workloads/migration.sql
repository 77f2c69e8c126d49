-- Workloads: what operators want to run on a node beside what its agent reports. Adds only.

-- One row for each service type of a node that somebody wants or that the agent reports. Desired columns are written
-- for operators alone, observed ones from reports alone; what compares the two is generated, so that it is never late.
CREATE TABLE node_service_instances (
  cluster_id                   uuid NOT NULL,
  node_id                      uuid NOT NULL,
  service_type                 text NOT NULL CONSTRAINT node_service_instances_type CHECK (service_type ~ '^[a-z][a-z0-9.-]{0,62}$'),
  created_at                   timestamptz(3) NOT NULL,

  -- Desired. All null while nobody wants it.
  desired_state                text CONSTRAINT node_service_instances_desired_state CHECK (desired_state IN ('running', 'stopped')),
  runtime                      text CONSTRAINT node_service_instances_runtime CHECK (runtime IN ('native', 'container')),
  version                      text,
  config                       jsonb,
  -- References by name, never values.
  secret_refs                  jsonb,
  health_check                 jsonb,
  restart_policy               jsonb,
  when_control_plane_lost      text CONSTRAINT node_service_instances_when_lost CHECK (when_control_plane_lost IN ('keep', 'stop')),
  privileged                   boolean,
  -- Who put it last while it is privileged, with a credential made for high-risk work.
  privileged_approved_at       timestamptz(3),
  privileged_approved_by_type  text,
  privileged_approved_by_id    text,
  desired_at                   timestamptz(3),
  desired_by_type              text,
  desired_by_id                text,

  -- Observed. `reported_at` is null while the agent reports nothing of it.
  service_instance_id          text,
  reported_state               text NOT NULL DEFAULT 'unknown' CONSTRAINT node_service_instances_reported_state
                               CHECK (reported_state IN ('unknown', 'starting', 'running', 'degraded', 'stopping', 'stopped', 'failed', 'unsupported')),
  reported_version             text,
  health                       text CONSTRAINT node_service_instances_health CHECK (health IN ('healthy', 'unhealthy', 'unknown')),
  message                      text,
  reported_at                  timestamptz(3),
  state_since                  timestamptz(3),
  -- When this instance took the place of the ones before it, newest first: what still comes of those is late.
  instance_since               timestamptz(3),
  past_instance_ids            text[] NOT NULL DEFAULT '{}',

  in_sync    boolean NOT NULL GENERATED ALWAYS AS (
               coalesce(reported_state = desired_state, false) AND (version IS NULL OR coalesce(reported_version = version, false))) STORED,
  is_failed  boolean NOT NULL GENERATED ALWAYS AS (
               coalesce(desired_state = 'running', false) AND (reported_state = 'failed' OR coalesce(health = 'unhealthy', false))) STORED,

  PRIMARY KEY (cluster_id, node_id, service_type),
  FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id),
  CONSTRAINT node_service_instances_desired_whole CHECK (num_nulls(desired_state, runtime, config, secret_refs,
    restart_policy, when_control_plane_lost, privileged, desired_at, desired_by_type, desired_by_id) IN (0, 10)),
  CONSTRAINT node_service_instances_nothing_undesired CHECK (desired_state IS NOT NULL OR (version IS NULL AND health_check IS NULL)),
  CONSTRAINT node_service_instances_privileged CHECK (privileged IS NOT TRUE OR runtime = 'container'),
  CONSTRAINT node_service_instances_approved CHECK (
    (privileged IS TRUE) = (privileged_approved_at IS NOT NULL)
    AND num_nulls(privileged_approved_at, privileged_approved_by_type, privileged_approved_by_id) IN (0, 3)),
  CONSTRAINT node_service_instances_wanted_or_seen CHECK (desired_state IS NOT NULL OR reported_at IS NOT NULL),
  CONSTRAINT node_service_instances_nothing_reported CHECK (reported_at IS NOT NULL OR (
    reported_state = 'unknown' AND num_nonnulls(service_instance_id, reported_version, health, message) = 0))
);
CREATE INDEX node_service_instances_newest
  ON node_service_instances (cluster_id, created_at DESC, node_id DESC, service_type DESC);
CREATE INDEX node_service_instances_of_type ON node_service_instances (cluster_id, service_type, created_at DESC, node_id DESC);
CREATE INDEX node_service_instances_in_state
  ON node_service_instances (cluster_id, reported_state, created_at DESC, node_id DESC, service_type DESC);
CREATE INDEX node_service_instances_sync
  ON node_service_instances (cluster_id, in_sync, created_at DESC, node_id DESC, service_type DESC);
CREATE INDEX node_service_instances_failed ON node_service_instances (cluster_id, node_id) WHERE is_failed;

-- What a workload last wrote, as its agent reports it; the latest alone.
CREATE TABLE node_service_logs (
  cluster_id           uuid NOT NULL,
  node_id              uuid NOT NULL,
  service_type         text NOT NULL,
  service_instance_id  text NOT NULL,
  tail                 text NOT NULL CONSTRAINT node_service_logs_tail CHECK (octet_length(tail) <= 65536),
  is_truncated         boolean NOT NULL,
  reported_at          timestamptz(3) NOT NULL,
  PRIMARY KEY (cluster_id, node_id, service_type),
  FOREIGN KEY (cluster_id, node_id, service_type)
    REFERENCES node_service_instances (cluster_id, node_id, service_type) ON DELETE CASCADE
);

-- Changes of what was reported. Outlives the workload, and is kept for a time and a number.
CREATE TABLE node_service_transitions (
  id                   uuid NOT NULL,
  cluster_id           uuid NOT NULL,
  node_id              uuid NOT NULL,
  service_type         text NOT NULL,
  occurred_at          timestamptz(3) NOT NULL,
  service_instance_id  text,
  previous_state       text NOT NULL,
  reported_state       text NOT NULL,
  reported_version     text,
  previous_health      text,
  health               text,
  message              text,
  PRIMARY KEY (cluster_id, node_id, service_type, occurred_at, id),
  FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id)
);
CREATE INDEX node_service_transitions_oldest ON node_service_transitions (occurred_at);

-- What of a node's last heartbeat has been taken in by those who follow heartbeats: a digest, null for "look again".
-- Fixed-width and without an index, so that updates stay HOT.
ALTER TABLE node_liveness ADD COLUMN report_mark bigint;
