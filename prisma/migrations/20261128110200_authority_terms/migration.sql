-- Terms that the service raises by itself, the hold-off that follows, what nodes claim, and the brake on mass lapses.

ALTER TABLE cluster_authorities ADD COLUMN takeovers_held_since timestamptz(3);
ALTER TABLE cluster_authorities ADD COLUMN takeovers_held_until timestamptz(3);
ALTER TABLE cluster_authorities ADD COLUMN takeovers_held_for text CONSTRAINT cluster_authorities_held_for
  CHECK (takeovers_held_for IN ('promotion', 'restore', 'restore_declared', 'claim', 'mass_lapse'));
ALTER TABLE cluster_authorities ADD CONSTRAINT cluster_authorities_hold CHECK (
  (takeovers_held_since IS NULL) = (takeovers_held_until IS NULL)
  AND (takeovers_held_since IS NULL) = (takeovers_held_for IS NULL)
  AND coalesce(takeovers_held_since <= takeovers_held_until, true));

-- The last claim of each node to have seen a later term, or a later fencing token, than there is.
CREATE TABLE authority_claims (
  cluster_id    uuid NOT NULL,
  node_id       uuid NOT NULL,
  claimed_term  bigint NOT NULL,
  -- When it was last written into the audit log, raised the term, and held takeovers.
  noted_at      timestamptz(3) NOT NULL,
  raised_at     timestamptz(3),
  held_at       timestamptz(3),
  PRIMARY KEY (cluster_id, node_id),
  FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id)
);

-- Clusters of which more than half lapsed at once; a row while that is so.
CREATE TABLE mass_lapses (
  cluster_id  uuid NOT NULL REFERENCES clusters (id),
  kind        text NOT NULL CONSTRAINT mass_lapses_kind CHECK (kind IN ('nodes', 'leases')),
  since       timestamptz(3) NOT NULL,
  lapsed      integer NOT NULL CONSTRAINT mass_lapses_lapsed CHECK (lapsed > 0),
  population  integer NOT NULL CONSTRAINT mass_lapses_population CHECK (population >= lapsed),
  PRIMARY KEY (cluster_id, kind)
);
