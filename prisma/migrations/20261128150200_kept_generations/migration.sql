-- What nodes were told: each generation of a snapshot from its first serving on. Adds only.

-- Parts of snapshots, each stored once for all generations of its cluster that hold it.
CREATE TABLE snapshot_sections (
  cluster_id    uuid NOT NULL,
  -- SHA-256 over the canonical JSON of the content.
  hash          bytea NOT NULL CONSTRAINT snapshot_sections_hash CHECK (length(hash) = 32),
  -- An object: some members of a payload.
  content       jsonb NOT NULL CONSTRAINT snapshot_sections_content CHECK (jsonb_typeof(content) = 'object'),
  -- A generation that holds it was first served then, or at most two days later; or was found in force then.
  last_used_at  timestamptz(3) NOT NULL,
  PRIMARY KEY (cluster_id, hash)
);
CREATE INDEX snapshot_sections_last_used ON snapshot_sections (last_used_at);

-- A generation that a node has been given. No foreign keys: polls write it, many at a time.
CREATE TABLE kept_generations (
  cluster_id      uuid NOT NULL,
  node_id         uuid NOT NULL,
  generation      bigint NOT NULL CONSTRAINT kept_generations_generation CHECK (generation >= 0),
  authority_term  bigint NOT NULL,
  -- The hashes of its sections, one behind the other; together they are all of the payload but what stands here.
  section_hashes  bytea NOT NULL CONSTRAINT kept_generations_sections
                  CHECK (length(section_hashes) > 0 AND length(section_hashes) % 32 = 0),
  -- As it was first served; issued again later it is the same generation.
  issued_at       timestamptz(3) NOT NULL,
  expires_at      timestamptz(3) NOT NULL,
  served_at       timestamptz(3) NOT NULL,
  PRIMARY KEY (cluster_id, node_id, generation)
);
CREATE INDEX kept_generations_served ON kept_generations (served_at);
