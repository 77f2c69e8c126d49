-- Generations that many nodes of a cluster were given together, as they are stored before the answers: one row for all,
-- which is taken apart into kept_generations when it is quiet. Whoever reads kept_generations reads these, too. Adds only.
CREATE TABLE kept_generation_groups (
  cluster_id      uuid NOT NULL,
  id              bigint GENERATED ALWAYS AS IDENTITY,
  authority_term  bigint NOT NULL,
  served_at       timestamptz(3) NOT NULL,
  -- One element for each node in each of these, in the same order; instants are milliseconds since the epoch.
  node_ids        uuid[] NOT NULL,
  generations     bigint[] NOT NULL,
  issued_ms       bigint[] NOT NULL,
  expires_ms      bigint[] NOT NULL,
  -- The hash of the section that all of them share, the first of each.
  shared_hash     bytea NOT NULL CONSTRAINT kept_generation_groups_shared CHECK (length(shared_hash) = 32),
  -- The hashes of their own sections, one node behind the other, and where each node's begin; last, where they end.
  own_hashes      bytea NOT NULL,
  own_bounds      integer[] NOT NULL,
  PRIMARY KEY (cluster_id, id),
  CONSTRAINT kept_generation_groups_lengths CHECK (
    cardinality(node_ids) > 0 AND cardinality(generations) = cardinality(node_ids)
    AND cardinality(issued_ms) = cardinality(node_ids) AND cardinality(expires_ms) = cardinality(node_ids)
    AND cardinality(own_bounds) = cardinality(node_ids) + 1),
  CONSTRAINT kept_generation_groups_bounds CHECK (
    own_bounds[1] = 0 AND own_bounds[cardinality(own_bounds)] = length(own_hashes) AND length(own_hashes) % 32 = 0)
);
-- Hashes and ids are random: trying to compress them costs more than storing them.
ALTER TABLE kept_generation_groups
  ALTER COLUMN node_ids SET STORAGE EXTERNAL, ALTER COLUMN generations SET STORAGE EXTERNAL,
  ALTER COLUMN issued_ms SET STORAGE EXTERNAL, ALTER COLUMN expires_ms SET STORAGE EXTERNAL,
  ALTER COLUMN own_hashes SET STORAGE EXTERNAL, ALTER COLUMN own_bounds SET STORAGE EXTERNAL;
