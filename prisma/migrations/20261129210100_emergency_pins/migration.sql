-- Emergency pins: a version that nodes are brought to at once and kept on, whatever pins and rollouts say, until an instant.
CREATE TABLE emergency_pins (
  id               uuid PRIMARY KEY,
  cluster_id       uuid NOT NULL REFERENCES clusters (id),
  product_id       uuid NOT NULL,
  release_id       uuid NOT NULL,
  version          text NOT NULL,
  -- As it was sent: all, nodeIds or selector.
  scope            jsonb NOT NULL,
  reason           text NOT NULL CONSTRAINT emergency_pins_reason CHECK (length(reason) BETWEEN 1 AND 500),
  -- Exclusive: at this instant it decides no more, whether or not anybody has looked.
  expires_at       timestamptz(3) NOT NULL,
  -- What leads the nodes; its ways are the nodes that the pin was made for.
  rollout_id       uuid NOT NULL CONSTRAINT emergency_pins_rollout UNIQUE REFERENCES rollouts (id),
  created_by_type  text NOT NULL,
  created_by_id    text NOT NULL,
  created_at       timestamptz(3) NOT NULL,
  -- From here on it decides; null: it waits for approvals.
  activated_at     timestamptz(3),
  ended_at         timestamptz(3),
  ended_because    text CONSTRAINT emergency_pins_ended_because CHECK (ended_because IN ('lifted', 'expired', 'blocked', 'rolled_back')),
  end_reason       text CONSTRAINT emergency_pins_end_reason CHECK (length(end_reason) BETWEEN 1 AND 500),
  CONSTRAINT emergency_pins_expiry CHECK (expires_at > created_at),
  CONSTRAINT emergency_pins_ended CHECK ((ended_at IS NULL) = (ended_because IS NULL)),
  CONSTRAINT emergency_pins_release FOREIGN KEY (product_id, release_id) REFERENCES releases (product_id, id)
);
CREATE INDEX emergency_pins_newest ON emergency_pins (cluster_id, created_at DESC, id DESC);
CREATE INDEX emergency_pins_open ON emergency_pins (cluster_id, product_id, expires_at) WHERE ended_at IS NULL;

-- Whom the emergency pins cover that have not ended: a node has one of a product at most, so that one decides.
CREATE TABLE emergency_pin_nodes (
  cluster_id  uuid NOT NULL,
  product_id  uuid NOT NULL,
  node_id     uuid NOT NULL,
  pin_id      uuid NOT NULL REFERENCES emergency_pins (id),
  PRIMARY KEY (cluster_id, product_id, node_id),
  CONSTRAINT emergency_pin_nodes_member FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id)
);
CREATE INDEX emergency_pin_nodes_of_pin ON emergency_pin_nodes (pin_id);

ALTER TABLE rollouts DROP CONSTRAINT rollouts_kind;
ALTER TABLE rollouts ADD CONSTRAINT rollouts_kind CHECK (kind IN ('staged', 'pin', 'emergency'));

-- The node is to be led to its pin as soon as nothing else has it: an emergency pin, or an update that it has begun.
ALTER TABLE version_pins ADD COLUMN leads_later boolean NOT NULL DEFAULT false;
CREATE INDEX version_pins_later ON version_pins (cluster_id, product_id) WHERE leads_later;

-- What an emergency pin keeps from going on.
CREATE INDEX rollout_assignments_held ON rollout_assignments (rollout_id, wave_position)
  WHERE state = 'deferred' AND state_reason = 'emergency_pin';
