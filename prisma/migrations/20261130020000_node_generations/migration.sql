-- What numbers a node's snapshots gets rows of its own: who numbers locks these, last of all, and never a row that a
-- change of a member, a heartbeat or a lease holds. With both in one row, whoever changed a member and went on to
-- number others met whoever came the other way, in a circle.
CREATE TABLE node_generations (
  cluster_id             uuid NOT NULL,
  node_id                uuid NOT NULL,
  generation_counter     bigint NOT NULL DEFAULT 0 CONSTRAINT node_generations_counter CHECK (generation_counter >= 0),
  generation_changed_at  timestamptz(3) NOT NULL DEFAULT now(),
  -- Of the node's own content as it was last numbered; null before that.
  content_hash           bytea,
  -- The cluster's base under which the hash was taken; under another one it says nothing.
  content_base           bigint CONSTRAINT node_generations_content_base CHECK (content_base >= 0),
  PRIMARY KEY (cluster_id, node_id),
  CONSTRAINT node_generations_member FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id)
) WITH (fillfactor = 70);

INSERT INTO node_generations (cluster_id, node_id, generation_counter, generation_changed_at, content_hash, content_base)
SELECT m.cluster_id, m.node_id, m.generation_counter, m.generation_changed_at, m.content_hash, m.content_base
  FROM cluster_memberships AS m;

ALTER TABLE cluster_memberships
  DROP COLUMN generation_counter, DROP COLUMN generation_changed_at, DROP COLUMN content_hash, DROP COLUMN content_base;

-- Every member has its row, whoever admits it.
CREATE FUNCTION number_new_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO node_generations (cluster_id, node_id, generation_changed_at)
  SELECT n.cluster_id, n.node_id, n.joined_at FROM new_rows AS n ORDER BY n.cluster_id, n.node_id;
  RETURN NULL;
END
$$;
CREATE TRIGGER cluster_memberships_numbered AFTER INSERT ON cluster_memberships
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION number_new_members();
