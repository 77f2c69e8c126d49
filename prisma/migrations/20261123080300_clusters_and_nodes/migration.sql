CREATE TABLE clusters (
  id                     uuid PRIMARY KEY,
  name                   text NOT NULL CONSTRAINT clusters_name CHECK (length(name) BETWEEN 1 AND 200),
  -- Unique for ever, archived clusters included: it stands in URLs and scripts.
  slug                   text NOT NULL CONSTRAINT clusters_slug_is_unique UNIQUE
                         CONSTRAINT clusters_slug CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  status                 text NOT NULL DEFAULT 'active' CONSTRAINT clusters_status CHECK (status IN ('active', 'archived')),
  region                 text,
  labels                 jsonb NOT NULL DEFAULT '{}',
  metadata               jsonb NOT NULL DEFAULT '{}',
  -- A node's snapshot generation is this plus the counter of its membership.
  generation_base        bigint NOT NULL DEFAULT 0 CONSTRAINT clusters_generation_base CHECK (generation_base >= 0),
  generation_changed_at  timestamptz(3) NOT NULL DEFAULT now(),
  revocation_epoch       bigint NOT NULL DEFAULT 0 CONSTRAINT clusters_revocation_epoch CHECK (revocation_epoch >= 0),
  created_at             timestamptz(3) NOT NULL DEFAULT now(),
  updated_at             timestamptz(3) NOT NULL DEFAULT now(),
  archived_at            timestamptz(3),
  CONSTRAINT clusters_archived_at CHECK ((status = 'archived') = (archived_at IS NOT NULL))
);
CREATE INDEX clusters_newest ON clusters (created_at DESC, id DESC);

CREATE TABLE cluster_authorities (
  cluster_id  uuid PRIMARY KEY REFERENCES clusters (id),
  state       text NOT NULL DEFAULT 'authoritative' CONSTRAINT cluster_authorities_state
              CHECK (state IN ('authoritative', 'degraded', 'partitioned', 'recovering', 'fenced')),
  term        bigint NOT NULL DEFAULT 1 CONSTRAINT cluster_authorities_term CHECK (term BETWEEN 1 AND 2097151),
  holder      text NOT NULL,
  since       timestamptz(3) NOT NULL DEFAULT now()
);

CREATE TABLE cluster_policies (
  cluster_id                 uuid PRIMARY KEY REFERENCES clusters (id),
  heartbeat_seconds          integer NOT NULL DEFAULT 30 CONSTRAINT cluster_policies_heartbeat CHECK (heartbeat_seconds BETWEEN 1 AND 3600),
  stale_after_missed         integer NOT NULL DEFAULT 3 CONSTRAINT cluster_policies_stale CHECK (stale_after_missed BETWEEN 1 AND 1000),
  offline_after_missed       integer NOT NULL DEFAULT 10,
  token_maker_may_approve    boolean NOT NULL DEFAULT true,
  rollout_approvals          integer NOT NULL DEFAULT 0 CONSTRAINT cluster_policies_approvals CHECK (rollout_approvals BETWEEN 0 AND 10),
  partition_detection        jsonb NOT NULL DEFAULT '{}',
  snapshot_lifetime_seconds  integer NOT NULL DEFAULT 86400
                             CONSTRAINT cluster_policies_lifetime CHECK (snapshot_lifetime_seconds BETWEEN 60 AND 2592000),
  degraded_grace_seconds     integer NOT NULL DEFAULT 86400
                             CONSTRAINT cluster_policies_grace CHECK (degraded_grace_seconds BETWEEN 0 AND 2592000),
  capability_policy          jsonb NOT NULL DEFAULT '{}',
  four_eyes                  jsonb NOT NULL DEFAULT '{}',
  updated_at                 timestamptz(3) NOT NULL DEFAULT now(),
  CONSTRAINT cluster_policies_offline CHECK (offline_after_missed > stale_after_missed AND offline_after_missed <= 10000)
);

-- Keys of one cluster; private parts are sealed under the master key, bound to purpose and cluster.
CREATE TABLE cluster_keys (
  kid                 text NOT NULL,
  cluster_id          uuid NOT NULL REFERENCES clusters (id),
  purpose             text NOT NULL CONSTRAINT cluster_keys_purpose CHECK (purpose IN ('snapshot', 'ca')),
  phase               text NOT NULL DEFAULT 'active' CONSTRAINT cluster_keys_phase
                      CHECK (phase IN ('prepared', 'active', 'tainted', 'retired')),
  public_jwk          jsonb NOT NULL,
  sealed_private_key  bytea NOT NULL,
  certificate         text,
  created_at          timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (cluster_id, kid)
);
CREATE UNIQUE INDEX cluster_keys_one_active ON cluster_keys (cluster_id, purpose) WHERE phase = 'active';

-- Inventory folders, not permissions.
CREATE TABLE node_groups (
  id          uuid PRIMARY KEY,
  cluster_id  uuid NOT NULL REFERENCES clusters (id),
  parent_id   uuid,
  name        text NOT NULL CONSTRAINT node_groups_name CHECK (length(name) BETWEEN 1 AND 100),
  created_at  timestamptz(3) NOT NULL DEFAULT now(),
  updated_at  timestamptz(3) NOT NULL DEFAULT now(),
  UNIQUE (cluster_id, id),
  FOREIGN KEY (cluster_id, parent_id) REFERENCES node_groups (cluster_id, id),
  CONSTRAINT node_groups_not_own_parent CHECK (parent_id <> id)
);
CREATE UNIQUE INDEX node_groups_name_in_parent
  ON node_groups (cluster_id, coalesce(parent_id, '00000000-0000-0000-0000-000000000000'), name);

-- A physical host. What it is in a cluster stands in its memberships.
CREATE TABLE nodes (
  id          uuid PRIMARY KEY,
  machine_id  text,
  created_at  timestamptz(3) NOT NULL DEFAULT now()
);
CREATE INDEX nodes_newest ON nodes (created_at DESC, id DESC);

CREATE TABLE cluster_memberships (
  cluster_id             uuid NOT NULL REFERENCES clusters (id),
  node_id                uuid NOT NULL REFERENCES nodes (id),
  name                   text NOT NULL CONSTRAINT cluster_memberships_name CHECK (name ~ '^[A-Za-z0-9._-]{1,63}$'),
  membership_status      text NOT NULL DEFAULT 'active' CONSTRAINT cluster_memberships_status
                         CHECK (membership_status IN ('active', 'disabled', 'revoked')),
  group_id               uuid,
  labels                 jsonb NOT NULL DEFAULT '{}',
  telemetry_enabled      boolean NOT NULL DEFAULT false,
  -- Reported by the agent.
  capabilities           text[] NOT NULL DEFAULT '{}',
  facts                  jsonb NOT NULL DEFAULT '{}',
  agent_version          text,
  os                     text NOT NULL,
  arch                   text NOT NULL,
  -- The node's own part of its snapshot generation, when it last grew, and the hash of the content it grew to.
  generation_counter     bigint NOT NULL DEFAULT 0 CONSTRAINT cluster_memberships_generation CHECK (generation_counter >= 0),
  generation_changed_at  timestamptz(3) NOT NULL DEFAULT now(),
  content_hash           bytea,
  joined_at              timestamptz(3) NOT NULL DEFAULT now(),
  updated_at             timestamptz(3) NOT NULL DEFAULT now(),
  revoked_at             timestamptz(3),
  revocation_reason      text,
  PRIMARY KEY (cluster_id, node_id),
  FOREIGN KEY (cluster_id, group_id) REFERENCES node_groups (cluster_id, id),
  CONSTRAINT cluster_memberships_revoked_at CHECK ((membership_status = 'revoked') = (revoked_at IS NOT NULL))
);
CREATE UNIQUE INDEX cluster_memberships_name_is_unique ON cluster_memberships (cluster_id, name) WHERE membership_status <> 'revoked';
CREATE INDEX cluster_memberships_newest ON cluster_memberships (cluster_id, joined_at DESC, node_id DESC);
CREATE INDEX cluster_memberships_node ON cluster_memberships (node_id);
CREATE INDEX cluster_memberships_group ON cluster_memberships (cluster_id, group_id);

-- A revoked membership never lives again; the host enrolls anew, with a new key.
CREATE FUNCTION refuse_reviving_membership() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a revoked membership stays revoked' USING ERRCODE = 'check_violation', CONSTRAINT = 'cluster_memberships_revoked_is_final';
END $$;
CREATE TRIGGER cluster_memberships_revoked_is_final BEFORE UPDATE OF membership_status ON cluster_memberships
  FOR EACH ROW WHEN (OLD.membership_status = 'revoked' AND NEW.membership_status <> 'revoked')
  EXECUTE FUNCTION refuse_reviving_membership();

-- Public identity of a node in one cluster. Private keys never reach the control plane.
CREATE TABLE node_identities (
  id                      uuid PRIMARY KEY,
  cluster_id              uuid NOT NULL,
  node_id                 uuid NOT NULL,
  public_key              jsonb NOT NULL,
  -- RFC 7638, base64url of SHA-256; unique for ever, so that a key belongs to one node in one cluster.
  key_thumbprint          text NOT NULL CONSTRAINT node_identities_key_is_unique UNIQUE,
  identity_status         text NOT NULL DEFAULT 'active' CONSTRAINT node_identities_status CHECK (identity_status IN ('active', 'rotated', 'revoked')),
  certificate_serial      text,
  certificate_not_before  timestamptz(3),
  certificate_not_after   timestamptz(3),
  created_at              timestamptz(3) NOT NULL DEFAULT now(),
  rotated_at              timestamptz(3),
  revoked_at              timestamptz(3),
  FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id)
);
CREATE UNIQUE INDEX node_identities_one_active ON node_identities (cluster_id, node_id) WHERE identity_status = 'active';

-- What changes with each heartbeat: fixed-width, no index on a hot column, room in the page, so that updates stay HOT.
CREATE TABLE node_liveness (
  cluster_id                uuid NOT NULL,
  node_id                   uuid NOT NULL,
  last_seen_at              timestamptz(3) NOT NULL,
  agent_instance_id         uuid,
  sequence                  bigint NOT NULL,
  uptime_seconds            double precision,
  load_one                  real,
  load_five                 real,
  load_fifteen              real,
  memory_total_bytes        bigint,
  memory_used_bytes         bigint,
  applied_generation        bigint,
  authority_term_seen       bigint,
  revocation_epoch_applied  bigint,
  PRIMARY KEY (cluster_id, node_id),
  FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id)
) WITH (fillfactor = 70);

-- Health as last written down by the worker; the truth is derived at reading.
CREATE TABLE node_health_records (
  cluster_id  uuid NOT NULL,
  node_id     uuid NOT NULL,
  health      text NOT NULL CONSTRAINT node_health_records_health CHECK (health IN ('online', 'degraded', 'stale', 'offline')),
  since       timestamptz(3) NOT NULL,
  PRIMARY KEY (cluster_id, node_id),
  FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id)
);
CREATE INDEX cluster_memberships_machine ON cluster_memberships ((facts ->> 'machineId'));
