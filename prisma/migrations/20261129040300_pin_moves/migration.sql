-- A node that is pinned to a version that it does not run is brought there by a rollout of its own, beside any other.
ALTER TABLE rollouts ADD COLUMN kind text NOT NULL DEFAULT 'staged'
  CONSTRAINT rollouts_kind CHECK (kind IN ('staged', 'pin'));
DROP INDEX rollouts_one_unfinished;
CREATE UNIQUE INDEX rollouts_one_unfinished ON rollouts (cluster_id, product_id)
  WHERE kind = 'staged' AND state IN ('pending_approval', 'approved', 'running', 'paused', 'rolling_back');
