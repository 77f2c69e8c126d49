-- The base under which what is a node's own in its snapshot may last have changed for a reason of the whole cluster.
-- Raising the base for what all snapshots share (the term, keys, times) leaves it: what nodes have of their own stays.
ALTER TABLE clusters ADD COLUMN node_content_base bigint NOT NULL DEFAULT 0;
UPDATE clusters SET node_content_base = generation_base;
ALTER TABLE clusters ADD CONSTRAINT clusters_node_content_base CHECK (node_content_base BETWEEN 0 AND generation_base);
