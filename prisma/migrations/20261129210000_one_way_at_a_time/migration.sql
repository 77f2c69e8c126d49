-- A node is told of one way of a product at a time, whichever rollouts have it: what is offered or under way and has not
-- been written off. Also what is looked up before anything is offered.
DROP INDEX rollout_assignments_open;
CREATE UNIQUE INDEX rollout_assignments_open ON rollout_assignments (cluster_id, product_id, node_id)
  WHERE state IN ('offered', 'granted', 'applying', 'health', 'lost') AND NOT is_written_off;
