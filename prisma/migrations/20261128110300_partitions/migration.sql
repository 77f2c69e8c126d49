-- Partitions that the control plane has found, and what nodes report of authorities that cannot be.

-- A row for each finding. It is open until an operator has resolved it, and stands for its evidence until that is gone:
-- what an operator has resolved is not found again before it has been gone once.
CREATE TABLE cluster_partitions (
  id           uuid PRIMARY KEY,
  cluster_id   uuid NOT NULL REFERENCES clusters (id),
  kind         text NOT NULL CONSTRAINT cluster_partitions_kind CHECK (kind IN ('contradiction', 'quorum_lost')),
  -- What tells findings of a kind apart: the other authority, or the role whose quorum it is.
  subject      text NOT NULL,
  since        timestamptz(3) NOT NULL,
  sides        jsonb NOT NULL,
  evidence     jsonb NOT NULL,
  -- When the evidence was gone; null while it lasts.
  cleared_at   timestamptz(3),
  -- When an operator has moved the authority on; null while it is open.
  resolved_at  timestamptz(3),
  CONSTRAINT cluster_partitions_cleared CHECK (cleared_at >= since),
  CONSTRAINT cluster_partitions_resolved CHECK (resolved_at >= since)
);
CREATE UNIQUE INDEX cluster_partitions_one_lasting ON cluster_partitions (cluster_id, kind, subject) WHERE cleared_at IS NULL;
CREATE UNIQUE INDEX cluster_partitions_one_open ON cluster_partitions (cluster_id, kind, subject) WHERE resolved_at IS NULL;

-- What a node reports of itself or of a peer when it cannot be true beside what is known here. Written by heartbeats,
-- and only where the policy asks for it; no foreign key for that reason.
CREATE TABLE node_authority_reports (
  cluster_id         uuid NOT NULL,
  node_id            uuid NOT NULL,
  subject_id         uuid NOT NULL,
  authority_term     bigint NOT NULL,
  authority_holder   text CONSTRAINT node_authority_reports_holder CHECK (length(authority_holder) BETWEEN 1 AND 128),
  first_reported_at  timestamptz(3) NOT NULL,
  reported_at        timestamptz(3) NOT NULL,
  PRIMARY KEY (cluster_id, node_id, subject_id)
) WITH (fillfactor = 70);

-- The one member that there was before says which quorum is wanted; it did nothing yet.
UPDATE cluster_policies SET partition_detection = partition_detection - 'quorumPercent' || jsonb_build_object('quorum',
  jsonb_build_object('minimumPercent', partition_detection -> 'quorumPercent', 'windowSeconds', 300))
 WHERE jsonb_exists(partition_detection, 'quorumPercent');
