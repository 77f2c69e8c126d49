-- Rollouts: which nodes are to have which version when, what was decided about it, and who may be out of service.

CREATE TABLE rollouts (
  id                    uuid PRIMARY KEY,
  cluster_id            uuid NOT NULL REFERENCES clusters (id),
  product_id            uuid NOT NULL REFERENCES products (id),
  release_id            uuid NOT NULL,
  target_version        text NOT NULL,
  -- As they were sent, with every default filled in.
  selector              jsonb NOT NULL,
  strategy              jsonb NOT NULL,
  -- Orders the nodes; another for every rollout of the cluster.
  salt                  text NOT NULL,
  -- Of the terms and of the nodes in their waves: what people approve, and what runs.
  plan_hash             text NOT NULL,
  -- Every migration on the way can be undone.
  downgrade_possible    boolean NOT NULL,
  state                 text NOT NULL CONSTRAINT rollouts_state CHECK (state IN ('draft', 'pending_approval', 'approved',
                          'running', 'paused', 'rolling_back', 'succeeded', 'succeeded_with_deferred', 'rolled_back',
                          'rollback_stalled', 'cancelled')),
  state_reason          text CONSTRAINT rollouts_state_reason CHECK (length(state_reason) BETWEEN 1 AND 100),
  -- The decision that has paused it: what is acknowledged.
  paused_by_decision_id uuid,
  start_at              timestamptz(3),
  created_by_type       text NOT NULL,
  created_by_id         text NOT NULL,
  created_at            timestamptz(3) NOT NULL,
  updated_at            timestamptz(3) NOT NULL,
  started_at            timestamptz(3),
  -- Since when it runs, or goes back, without a pause.
  running_since         timestamptz(3),
  last_progress_at      timestamptz(3),
  finished_at           timestamptz(3),
  CONSTRAINT rollouts_release FOREIGN KEY (product_id, release_id) REFERENCES releases (product_id, id),
  CONSTRAINT rollouts_paused CHECK ((state = 'paused') = (paused_by_decision_id IS NOT NULL)),
  CONSTRAINT rollouts_running CHECK (state NOT IN ('running', 'paused', 'rolling_back')
                                     OR (running_since IS NOT NULL AND last_progress_at IS NOT NULL))
);
-- At most one unfinished rollout of a product in a cluster; drafts can be written beside it.
CREATE UNIQUE INDEX rollouts_one_unfinished ON rollouts (cluster_id, product_id)
  WHERE state IN ('pending_approval', 'approved', 'running', 'paused', 'rolling_back');
CREATE INDEX rollouts_newest ON rollouts (cluster_id, created_at DESC, id DESC);
CREATE INDEX rollouts_release_index ON rollouts (release_id);
CREATE INDEX rollouts_under_way ON rollouts (id) WHERE state IN ('running', 'paused', 'rolling_back');
CREATE INDEX rollouts_due ON rollouts (start_at) WHERE state IN ('draft', 'approved') AND start_at IS NOT NULL;

CREATE TABLE rollout_approvals (
  rollout_id     uuid NOT NULL REFERENCES rollouts (id),
  approver_type  text NOT NULL,
  approver_id    text NOT NULL,
  -- What was approved; it counts for the plan that has this hash, and no other.
  plan_hash      text NOT NULL,
  approved_at    timestamptz(3) NOT NULL,
  PRIMARY KEY (rollout_id, approver_type, approver_id)
);

CREATE TABLE rollout_waves (
  rollout_id             uuid NOT NULL REFERENCES rollouts (id),
  position               integer NOT NULL CONSTRAINT rollout_waves_position CHECK (position >= 0),
  name                   text NOT NULL CONSTRAINT rollout_waves_name CHECK (length(name) BETWEEN 1 AND 63),
  depends_on             text[] NOT NULL,
  requires_approval      boolean NOT NULL,
  soak_seconds           integer NOT NULL CONSTRAINT rollout_waves_soak_seconds CHECK (soak_seconds >= 0),
  planned_members        integer NOT NULL CONSTRAINT rollout_waves_planned_members CHECK (planned_members >= 0),
  state                  text NOT NULL CONSTRAINT rollout_waves_state CHECK (state IN ('pending', 'gated', 'active', 'soaking', 'done', 'halted')),
  approved_at            timestamptz(3),
  -- What it had soaked when the rollout was last paused.
  soaked_ms              bigint NOT NULL DEFAULT 0,
  soaking_since          timestamptz(3),
  -- What an operator has taken on.
  acknowledged_failures  integer NOT NULL DEFAULT 0,
  is_accepted            boolean NOT NULL DEFAULT false,
  PRIMARY KEY (rollout_id, position),
  CONSTRAINT rollout_waves_name_is_unique UNIQUE (rollout_id, name)
);

CREATE FUNCTION rollout_wave_rank(state text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
  SELECT array_position(ARRAY['pending', 'gated', 'active', 'soaking', 'done', 'halted'], state)
$$;

-- A node's part in a rollout: the way to the new version, or the way back.
CREATE TABLE rollout_assignments (
  id                uuid PRIMARY KEY,
  rollout_id        uuid NOT NULL REFERENCES rollouts (id),
  cluster_id        uuid NOT NULL,
  product_id        uuid NOT NULL,
  node_id           uuid NOT NULL,
  direction         text NOT NULL CONSTRAINT rollout_assignments_direction CHECK (direction IN ('forward', 'back')),
  -- null: in no wave, since it is skipped.
  wave_position     integer,
  -- Its place in the order of the rollout.
  place             integer NOT NULL,
  state             text NOT NULL CONSTRAINT rollout_assignments_state CHECK (state IN ('planned', 'offered', 'granted',
                      'applying', 'health', 'ok', 'rolled_back', 'failed', 'fenced', 'lost', 'deferred', 'skipped',
                      'cancelled', 'decommissioned')),
  state_reason      text,
  -- What the node had when it was planned; null: nothing.
  from_version      text,
  -- Where this part of the way leads, and where the whole way does.
  to_version        text NOT NULL,
  to_release_id     uuid NOT NULL REFERENCES releases (id),
  -- Which of its artifacts.
  os                text NOT NULL,
  arch              text NOT NULL,
  is_stop           boolean NOT NULL DEFAULT false,
  node_state        text NOT NULL DEFAULT 'idle' CONSTRAINT rollout_assignments_node_state CHECK (node_state IN ('idle',
                      'checking', 'downloading', 'verifying', 'staging', 'migrating', 'starting', 'health_checking',
                      'promoting', 'running', 'rollback_required', 'rolling_back', 'rolled_back', 'failed', 'fenced')),
  -- Of the last report.
  epoch             bigint NOT NULL,
  attempt           integer NOT NULL DEFAULT 1,
  sequence          bigint NOT NULL DEFAULT 0,
  message           text CONSTRAINT rollout_assignments_message CHECK (length(message) <= 500),
  is_written_off    boolean NOT NULL DEFAULT false,
  state_changed_at  timestamptz(3) NOT NULL,
  reported_at       timestamptz(3),
  CONSTRAINT rollout_assignments_one_each UNIQUE (rollout_id, node_id, direction),
  CONSTRAINT rollout_assignments_member FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id),
  CONSTRAINT rollout_assignments_wave CHECK (wave_position IS NOT NULL OR state IN ('skipped', 'decommissioned'))
);
CREATE INDEX rollout_assignments_by_state ON rollout_assignments (rollout_id, direction, state, wave_position, place);
CREATE INDEX rollout_assignments_of_node ON rollout_assignments (cluster_id, node_id);
CREATE INDEX rollout_assignments_returning ON rollout_assignments (rollout_id)
  WHERE direction = 'back' AND state IN ('planned', 'offered');
CREATE INDEX rollout_assignments_open ON rollout_assignments (cluster_id, product_id, node_id)
  WHERE state IN ('offered', 'granted', 'applying', 'health', 'lost');

-- Who may be out of service for an update: one row for each node, whichever rollout gave it.
CREATE TABLE update_slots (
  cluster_id     uuid NOT NULL,
  product_id     uuid NOT NULL,
  node_id        uuid NOT NULL,
  assignment_id  uuid NOT NULL REFERENCES rollout_assignments (id),
  epoch          bigint NOT NULL,
  taken_at       timestamptz(3) NOT NULL,
  PRIMARY KEY (cluster_id, product_id, node_id)
);

-- What is known of a product on a node, beyond any rollout.
CREATE TABLE node_versions (
  cluster_id        uuid NOT NULL,
  node_id           uuid NOT NULL,
  product_id        uuid NOT NULL REFERENCES products (id),
  last_known_good   text,
  -- Grows when an operator takes an update out of the node's hands: what it reports of an earlier one is refused.
  epoch             bigint NOT NULL DEFAULT 1 CONSTRAINT node_versions_epoch CHECK (epoch >= 1),
  is_fenced         boolean NOT NULL DEFAULT false,
  updated_at        timestamptz(3) NOT NULL,
  PRIMARY KEY (cluster_id, node_id, product_id),
  CONSTRAINT node_versions_member FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id)
);

-- Why the engine, or somebody, did something. Never written again.
CREATE TABLE rollout_decisions (
  id              uuid PRIMARY KEY,
  rollout_id      uuid NOT NULL REFERENCES rollouts (id),
  decided_at      timestamptz(3) NOT NULL,
  decided_by_type text NOT NULL,
  decided_by_id   text NOT NULL,
  rule            text NOT NULL,
  wave            text,
  from_state      text NOT NULL,
  to_state        text NOT NULL,
  reason          text,
  -- The numbers and thresholds on which it rests.
  inputs          jsonb NOT NULL
);
CREATE INDEX rollout_decisions_newest ON rollout_decisions (rollout_id, decided_at DESC, id DESC);

CREATE FUNCTION refuse_rollout_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
END $$;
CREATE TRIGGER rollout_decisions_never_change BEFORE UPDATE OR DELETE ON rollout_decisions
  FOR EACH ROW EXECUTE FUNCTION refuse_rollout_change('a decision stays as it was written');
CREATE TRIGGER rollout_waves_only_rise BEFORE UPDATE ON rollout_waves
  FOR EACH ROW WHEN (rollout_wave_rank(NEW.state) < rollout_wave_rank(OLD.state))
  EXECUTE FUNCTION refuse_rollout_change('a wave never goes back to an earlier state');
CREATE TRIGGER rollouts_keep_their_plan BEFORE UPDATE ON rollouts
  FOR EACH ROW WHEN ((NEW.id, NEW.cluster_id, NEW.product_id, NEW.release_id, NEW.selector, NEW.strategy, NEW.salt, NEW.plan_hash)
    IS DISTINCT FROM (OLD.id, OLD.cluster_id, OLD.product_id, OLD.release_id, OLD.selector, OLD.strategy, OLD.salt, OLD.plan_hash))
  EXECUTE FUNCTION refuse_rollout_change('what was planned stays as it was planned');
