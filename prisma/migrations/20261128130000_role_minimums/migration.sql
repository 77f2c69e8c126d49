-- How many nodes a cluster wants to be effective in a role. Whoever would take one of the last locks the row first, so
-- that of two who take one each the second sees what the first has done.
CREATE TABLE role_minimums (
  cluster_id  uuid NOT NULL REFERENCES clusters (id),
  role        text NOT NULL,
  -- 0: none is wanted any more.
  minimum     integer NOT NULL CONSTRAINT role_minimums_minimum CHECK (minimum BETWEEN 0 AND 100000),
  updated_at  timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (cluster_id, role)
);

-- Counts the nodes of a role, and stops at the minimum, since they come in order.
CREATE INDEX node_role_assignments_of_role ON node_role_assignments (cluster_id, role, node_id) WHERE status = 'active';
