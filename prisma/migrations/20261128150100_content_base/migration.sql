-- The hash of a node's content is good for the base under which it was taken: a change of the whole cluster raises the
-- base and leaves every hash behind.
ALTER TABLE cluster_memberships ADD COLUMN content_base bigint
  CONSTRAINT cluster_memberships_content_base CHECK (content_base >= 0);
