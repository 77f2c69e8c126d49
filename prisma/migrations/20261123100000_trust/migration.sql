-- Certificates of nodes, their authorities through a rotation, and the proof that a revocation has arrived.

-- A key that was replaced signs no more, and what it signed stays good until it is tainted.
ALTER TABLE cluster_keys DROP CONSTRAINT cluster_keys_phase;
ALTER TABLE cluster_keys ADD CONSTRAINT cluster_keys_phase
  CHECK (phase IN ('prepared', 'active', 'superseded', 'tainted', 'retired'));
ALTER TABLE cluster_keys ADD CONSTRAINT cluster_keys_ca_has_certificate CHECK (purpose <> 'ca' OR certificate IS NOT NULL);

-- SHA-256 of the trust bundle as it is served: what nodes are told in heartbeats, and what they say they hold.
ALTER TABLE clusters ADD COLUMN trust_bundle_fingerprint bytea
  CONSTRAINT clusters_trust_bundle_fingerprint CHECK (length(trust_bundle_fingerprint) = 32);
ALTER TABLE node_liveness ADD COLUMN trust_bundle_seen bytea
  CONSTRAINT node_liveness_trust_bundle_seen CHECK (length(trust_bundle_seen) = 32);

-- Every certificate that was issued. Whether one has expired follows from the clock.
CREATE TABLE node_certificates (
  cluster_id         uuid NOT NULL,
  -- 128 random bits in upper-case hexadecimal, as openssl prints them.
  serial             text NOT NULL CONSTRAINT node_certificates_serial CHECK (serial ~ '^[0-9A-F]{32}$'),
  node_id            uuid NOT NULL,
  authority_kid      text NOT NULL,
  -- RFC 7638, of the certificate's key.
  key_thumbprint     text NOT NULL,
  issued_at          timestamptz(3) NOT NULL,
  not_before         timestamptz(3) NOT NULL,
  not_after          timestamptz(3) NOT NULL,
  revoked_at         timestamptz(3),
  revocation_reason  text,
  PRIMARY KEY (cluster_id, serial),
  FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id),
  FOREIGN KEY (cluster_id, authority_kid) REFERENCES cluster_keys (cluster_id, kid),
  CONSTRAINT node_certificates_validity CHECK (not_before < not_after),
  CONSTRAINT node_certificates_revoked CHECK ((revoked_at IS NULL) = (revocation_reason IS NULL))
);
CREATE INDEX node_certificates_newest ON node_certificates (cluster_id, issued_at DESC, serial DESC);
CREATE INDEX node_certificates_node ON node_certificates (cluster_id, node_id, issued_at DESC, serial DESC);
CREATE INDEX node_certificates_key ON node_certificates (key_thumbprint);
CREATE INDEX node_certificates_not_after ON node_certificates (not_after);
CREATE INDEX node_certificates_revoked ON node_certificates (cluster_id, authority_kid, not_after) WHERE revoked_at IS NOT NULL;

-- The latest signed revocation list of each authority: stored, so that every instance serves the same bytes.
CREATE TABLE cluster_crls (
  cluster_id     uuid NOT NULL,
  authority_kid  text NOT NULL,
  epoch          bigint NOT NULL CONSTRAINT cluster_crls_epoch CHECK (epoch >= 0),
  -- Grows with time; a list is issued anew long before its nextUpdate.
  issue          bigint NOT NULL,
  der            bytea NOT NULL,
  PRIMARY KEY (cluster_id, authority_kid),
  FOREIGN KEY (cluster_id, authority_kid) REFERENCES cluster_keys (cluster_id, kid)
);

-- What raised the revocation epoch of a cluster, once per epoch.
CREATE TABLE revocations (
  cluster_id  uuid NOT NULL REFERENCES clusters (id),
  epoch       bigint NOT NULL CONSTRAINT revocations_epoch CHECK (epoch > 0),
  node_id     uuid NOT NULL,
  reason      text,
  revoked_at  timestamptz(3) NOT NULL,
  PRIMARY KEY (cluster_id, epoch),
  FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id)
);

-- When a node first said that it applies an epoch; a row only when what it says grows. No foreign key: heartbeats write it.
CREATE TABLE revocation_acknowledgements (
  cluster_id     uuid NOT NULL,
  node_id        uuid NOT NULL,
  epoch          bigint NOT NULL,
  first_seen_at  timestamptz(3) NOT NULL,
  PRIMARY KEY (cluster_id, node_id, epoch)
);
CREATE INDEX revocation_acknowledgements_first_seen ON revocation_acknowledgements (first_seen_at);

-- The change of a key of a cluster by phases, with overlap.
CREATE TABLE trust_rotations (
  id               uuid PRIMARY KEY,
  cluster_id       uuid NOT NULL REFERENCES clusters (id),
  kind             text NOT NULL CONSTRAINT trust_rotations_kind CHECK (kind IN ('ca', 'snapshot_key')),
  phase            text NOT NULL DEFAULT 'prepare' CONSTRAINT trust_rotations_phase
                   CHECK (phase IN ('prepare', 'activate', 'taint', 'retire')),
  old_kid          text NOT NULL,
  new_kid          text NOT NULL,
  started_by_type  text NOT NULL,
  started_by_id    text,
  prepared_at      timestamptz(3) NOT NULL,
  activated_at     timestamptz(3),
  tainted_at       timestamptz(3),
  retired_at       timestamptz(3),
  -- Why the old key was retired although live nodes lacked the new one; null when none did.
  override_reason  text,
  FOREIGN KEY (cluster_id, old_kid) REFERENCES cluster_keys (cluster_id, kid),
  FOREIGN KEY (cluster_id, new_kid) REFERENCES cluster_keys (cluster_id, kid),
  CONSTRAINT trust_rotations_activated CHECK ((activated_at IS NOT NULL) = (phase IN ('activate', 'taint', 'retire'))),
  CONSTRAINT trust_rotations_tainted CHECK ((tainted_at IS NOT NULL) = (phase IN ('taint', 'retire'))),
  CONSTRAINT trust_rotations_retired CHECK ((retired_at IS NOT NULL) = (phase = 'retire'))
);
CREATE UNIQUE INDEX trust_rotations_one_unfinished ON trust_rotations (cluster_id, kind) WHERE phase <> 'retire';
CREATE INDEX trust_rotations_newest ON trust_rotations (cluster_id, prepared_at DESC, id DESC);
