-- Snapshots announce the keys that may sign them: from here on their content is another, so every generation grows.
UPDATE clusters SET generation_base = generation_base + 1, generation_changed_at = date_trunc('milliseconds', clock_timestamp());

-- The base of the generation that first held the new key: whoever has applied it, or a later one, knows the key.
ALTER TABLE trust_rotations ADD COLUMN announced_base bigint;
UPDATE trust_rotations AS r SET announced_base = c.generation_base
  FROM clusters AS c WHERE c.id = r.cluster_id AND r.kind = 'snapshot_key';
ALTER TABLE trust_rotations ADD CONSTRAINT trust_rotations_announced CHECK ((announced_base IS NOT NULL) = (kind = 'snapshot_key'));
