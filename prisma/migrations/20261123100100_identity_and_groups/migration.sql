-- Rotation of identities, risky states that are written down, and the indexes of the group tree. Adds only.

-- Until when a rotated key still works: long enough for the answer to the rotation to be lost once.
ALTER TABLE node_identities ADD COLUMN valid_until timestamptz(3);
ALTER TABLE node_identities ADD CONSTRAINT node_identities_valid_until CHECK (valid_until IS NULL OR identity_status <> 'active');
-- The key that this one took the place of, by whose proof.
ALTER TABLE node_identities ADD COLUMN rotated_from uuid CONSTRAINT node_identities_rotated_from REFERENCES node_identities (id);
CREATE UNIQUE INDEX node_identities_one_successor ON node_identities (rotated_from) WHERE rotated_from IS NOT NULL;
CREATE INDEX node_identities_node ON node_identities (cluster_id, node_id, created_at DESC);

-- The agent instance before the last, by which a heartbeat of both in turn is told from a restart, and the sign of a
-- clone that is still to be written down. Fixed-width and without an index, so that updates stay HOT.
ALTER TABLE node_liveness ADD COLUMN previous_instance_id uuid;
ALTER TABLE node_liveness ADD COLUMN previous_sequence bigint;
ALTER TABLE node_liveness ADD COLUMN clone_sign smallint;

-- Risky states that are not derived from other facts: they hold until somebody acknowledges them.
CREATE TABLE node_risky_states (
  cluster_id            uuid NOT NULL,
  node_id               uuid NOT NULL,
  kind                  text NOT NULL CONSTRAINT node_risky_states_kind CHECK (kind ~ '^[a-z_]{1,64}$'),
  since                 timestamptz(3) NOT NULL,
  acknowledged_at       timestamptz(3),
  acknowledged_by_type  text,
  acknowledged_by_id    text,
  PRIMARY KEY (cluster_id, node_id, kind),
  FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id),
  CONSTRAINT node_risky_states_acknowledged CHECK ((acknowledged_at IS NULL) = (acknowledged_by_type IS NULL))
);

CREATE INDEX node_groups_newest ON node_groups (cluster_id, created_at DESC, id DESC);
CREATE INDEX node_groups_parent ON node_groups (cluster_id, parent_id);
