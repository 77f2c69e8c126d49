-- Where members with the role `update-cache` serve files of releases to other nodes, and what they say that they hold.
CREATE TABLE update_caches (
  cluster_id      uuid NOT NULL,
  node_id         uuid NOT NULL,
  -- Null: it serves nothing.
  url             text CONSTRAINT update_caches_url CHECK (url ~ '^https://[^/?#@[:space:]]+$' AND length(url) <= 300),
  held_sha256     text[] NOT NULL CONSTRAINT update_caches_held CHECK (cardinality(held_sha256) <= 500),
  used_bytes      bigint NOT NULL CONSTRAINT update_caches_used CHECK (used_bytes >= 0),
  capacity_bytes  bigint NOT NULL CONSTRAINT update_caches_capacity CHECK (capacity_bytes >= 0),
  -- Files that it has sent to other nodes since its agent started.
  served_files    bigint NOT NULL CONSTRAINT update_caches_served CHECK (served_files >= 0),
  reported_at     timestamptz(3) NOT NULL,
  PRIMARY KEY (cluster_id, node_id),
  CONSTRAINT update_caches_member FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id)
);
