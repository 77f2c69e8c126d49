-- Version storage: products, the keys that sign their releases, releases as they were signed, their artifacts, and the
-- channels by which clusters name versions.

CREATE TABLE products (
  id                   uuid PRIMARY KEY,
  name                 text NOT NULL CONSTRAINT products_name CHECK (name ~ '^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$'),
  kind                 text NOT NULL CONSTRAINT products_kind CHECK (kind IN ('node-agent', 'workload')),
  -- Whose workloads it brings; null for the agent itself.
  service_type         text CONSTRAINT products_service_type CHECK (length(service_type) BETWEEN 1 AND 64),
  -- So many different keys must have signed a release.
  signature_threshold  integer NOT NULL CONSTRAINT products_signature_threshold CHECK (signature_threshold BETWEEN 1 AND 16),
  created_at           timestamptz(3) NOT NULL,
  updated_at           timestamptz(3) NOT NULL,
  CONSTRAINT products_name_is_unique UNIQUE (name),
  CONSTRAINT products_service_of_workload CHECK ((kind = 'workload') = (service_type IS NOT NULL))
);

-- Public keys that sign releases. One key must never count as two, under whatever names: the key id is the thumbprint of
-- the key itself, each coordinate has one spelling, and a point and its mirror image, for which one private key can
-- sign, are the same key.
CREATE TABLE signing_keys (
  id              uuid PRIMARY KEY,
  name            text NOT NULL CONSTRAINT signing_keys_name CHECK (length(name) BETWEEN 1 AND 200),
  -- RFC 7638 thumbprint of the public key: the `keyid` of an envelope.
  key_id          text NOT NULL,
  curve           text NOT NULL CONSTRAINT signing_keys_curve CHECK (curve IN ('Ed25519', 'P-256')),
  -- Coordinates in base64url, as in a JWK; `y` of P-256 alone.
  x               text NOT NULL CONSTRAINT signing_keys_x CHECK (x ~ '^[A-Za-z0-9_-]{43}$'),
  y               text CONSTRAINT signing_keys_y CHECK (y ~ '^[A-Za-z0-9_-]{43}$'),
  -- Ed25519: the point without the bit of its sign; P-256: x.
  material        bytea NOT NULL,
  -- Whether it signs for every product, also those that come later.
  all_products    boolean NOT NULL,
  created_at      timestamptz(3) NOT NULL,
  revoked_at      timestamptz(3),
  revoked_reason  text CONSTRAINT signing_keys_revoked_reason CHECK (length(revoked_reason) BETWEEN 1 AND 500),
  CONSTRAINT signing_keys_key_id_is_unique UNIQUE (key_id),
  CONSTRAINT signing_keys_material_is_unique UNIQUE (curve, material),
  CONSTRAINT signing_keys_coordinates CHECK ((curve = 'P-256') = (y IS NOT NULL)),
  CONSTRAINT signing_keys_canonical CHECK (
    x = rtrim(translate(encode(decode(translate(x, '-_', '+/') || '=', 'base64'), 'base64'), '+/', '-_'), '=')
    AND y IS NOT DISTINCT FROM rtrim(translate(encode(decode(translate(y, '-_', '+/') || '=', 'base64'), 'base64'), '+/', '-_'), '=')),
  CONSTRAINT signing_keys_key_id CHECK (key_id = rtrim(translate(encode(sha256(convert_to(
    CASE curve WHEN 'Ed25519' THEN '{"crv":"Ed25519","kty":"OKP","x":"' || x || '"}'
               ELSE '{"crv":"P-256","kty":"EC","x":"' || x || '","y":"' || y || '"}' END, 'UTF8')), 'base64'), '+/', '-_'), '=')),
  CONSTRAINT signing_keys_material CHECK (octet_length(material) = 32 AND material =
    CASE curve WHEN 'Ed25519' THEN set_bit(decode(translate(x, '-_', '+/') || '=', 'base64'), 255, 0)
               ELSE decode(translate(x, '-_', '+/') || '=', 'base64') END),
  CONSTRAINT signing_keys_revoked CHECK (revoked_reason IS NULL OR revoked_at IS NOT NULL)
);
CREATE INDEX signing_keys_newest ON signing_keys (created_at DESC, id DESC);

-- For which products a key signs that does not sign for all.
CREATE TABLE signing_key_products (
  signing_key_id  uuid NOT NULL REFERENCES signing_keys (id),
  product_id      uuid NOT NULL REFERENCES products (id),
  PRIMARY KEY (signing_key_id, product_id)
);
CREATE INDEX signing_key_products_product ON signing_key_products (product_id);

-- What is in the store of artifacts, by content. The row is there before the bytes are and goes with them, so that the
-- store holds nothing that no row tells of.
CREATE TABLE stored_objects (
  sha256      bytea PRIMARY KEY CONSTRAINT stored_objects_sha256 CHECK (octet_length(sha256) = 32),
  size_bytes  bigint NOT NULL CONSTRAINT stored_objects_size CHECK (size_bytes >= 0),
  -- When somebody last began to bring it; a sweep leaves alone what is younger than its patience.
  claimed_at  timestamptz(3) NOT NULL
);
CREATE INDEX stored_objects_oldest ON stored_objects (claimed_at);

CREATE TABLE releases (
  id                uuid PRIMARY KEY,
  product_id        uuid NOT NULL REFERENCES products (id),
  -- As in the manifest, build metadata included.
  version           text NOT NULL CONSTRAINT releases_version CHECK (length(version) BETWEEN 5 AND 128 AND version ~ '^[0-9]'),
  -- Sorts as versions do. Build metadata decides nothing (SemVer 2.0.0 section 10): of two releases that are equal in
  -- precedence nobody could say which is wanted, so that there is at most one.
  version_order     text COLLATE "C" NOT NULL GENERATED ALWAYS AS (version_order(version)) STORED,
  -- The envelope byte for byte as it came, and the payload that its signatures are over. Never written again.
  envelope          bytea NOT NULL,
  payload           bytea NOT NULL,
  payload_sha256    bytea NOT NULL CONSTRAINT releases_payload_sha256 CHECK (payload_sha256 = sha256(payload)),
  -- The payload, read: for looking things up.
  manifest          jsonb NOT NULL,
  published_at      timestamptz(3) NOT NULL,
  published_by_type text NOT NULL,
  published_by_id   text NOT NULL,
  approved_at       timestamptz(3),
  approved_by_type  text,
  approved_by_id    text,
  blocked_at        timestamptz(3),
  blocked_by_type   text,
  blocked_by_id     text,
  block_reason      text CONSTRAINT releases_block_reason CHECK (length(block_reason) BETWEEN 1 AND 500),
  CONSTRAINT releases_version_is_unique UNIQUE (product_id, version_order),
  CONSTRAINT releases_of_product UNIQUE (product_id, id),
  CONSTRAINT releases_manifest_names_version CHECK (manifest ->> 'version' = version),
  CONSTRAINT releases_approved CHECK ((approved_at IS NULL) = (approved_by_type IS NULL) AND (approved_at IS NULL) = (approved_by_id IS NULL)),
  CONSTRAINT releases_blocked CHECK ((blocked_at IS NULL) = (blocked_by_type IS NULL) AND (blocked_at IS NULL) = (blocked_by_id IS NULL)
                                     AND (blocked_at IS NULL) = (block_reason IS NULL))
);
CREATE INDEX releases_newest ON releases (product_id, published_at DESC, id DESC);

-- Which keys were seen to have signed a release when it was published.
CREATE TABLE release_signatures (
  release_id      uuid NOT NULL REFERENCES releases (id),
  signing_key_id  uuid NOT NULL REFERENCES signing_keys (id),
  PRIMARY KEY (release_id, signing_key_id)
);
CREATE INDEX release_signatures_key ON release_signatures (signing_key_id);

-- The files of a release, one for each system, as its manifest names them.
CREATE TABLE release_artifacts (
  release_id     uuid NOT NULL REFERENCES releases (id),
  os             text NOT NULL CONSTRAINT release_artifacts_os CHECK (os IN ('linux', 'windows', 'darwin', 'android')),
  arch           text NOT NULL CONSTRAINT release_artifacts_arch CHECK (arch IN ('x64', 'arm64')),
  sha256         bytea NOT NULL CONSTRAINT release_artifacts_sha256 CHECK (octet_length(sha256) = 32),
  size_bytes     bigint NOT NULL CONSTRAINT release_artifacts_size CHECK (size_bytes >= 0),
  media_type     text NOT NULL,
  file_name      text NOT NULL CONSTRAINT release_artifacts_file_name CHECK (file_name ~ '^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}$'),
  -- The object with its bytes; null until they have been brought.
  stored_sha256  bytea REFERENCES stored_objects (sha256),
  stored_at      timestamptz(3),
  PRIMARY KEY (release_id, os, arch),
  CONSTRAINT release_artifacts_stored CHECK ((stored_sha256 IS NULL) = (stored_at IS NULL) AND (stored_sha256 IS NULL OR stored_sha256 = sha256))
);
CREATE INDEX release_artifacts_digest ON release_artifacts (sha256);
CREATE INDEX release_artifacts_object ON release_artifacts (stored_sha256) WHERE stored_sha256 IS NOT NULL;

-- What a release does to data on its way from one version of them to another; order is the manifest's.
CREATE TABLE release_migrations (
  release_id          uuid NOT NULL REFERENCES releases (id),
  migration_id        text NOT NULL,
  position            integer NOT NULL CONSTRAINT release_migrations_position CHECK (position >= 0),
  target              text NOT NULL,
  source_version      text NOT NULL,
  target_version      text NOT NULL,
  backup_required     boolean NOT NULL,
  downgrade_possible  boolean NOT NULL,
  sha256              bytea NOT NULL CONSTRAINT release_migrations_sha256 CHECK (octet_length(sha256) = 32),
  size_bytes          bigint NOT NULL CONSTRAINT release_migrations_size CHECK (size_bytes >= 0),
  stored_sha256       bytea REFERENCES stored_objects (sha256),
  stored_at           timestamptz(3),
  PRIMARY KEY (release_id, migration_id),
  CONSTRAINT release_migrations_one_position UNIQUE (release_id, position),
  CONSTRAINT release_migrations_stored CHECK ((stored_sha256 IS NULL) = (stored_at IS NULL) AND (stored_sha256 IS NULL OR stored_sha256 = sha256))
);
CREATE INDEX release_migrations_digest ON release_migrations (sha256);
CREATE INDEX release_migrations_object ON release_migrations (stored_sha256) WHERE stored_sha256 IS NOT NULL;

-- Where each channel of a product points in a cluster; every move raises the revision.
CREATE TABLE channels (
  cluster_id       uuid NOT NULL REFERENCES clusters (id),
  product_id       uuid NOT NULL REFERENCES products (id),
  channel          text NOT NULL CONSTRAINT channels_channel CHECK (channel IN ('stable', 'current', 'candidate')),
  -- null: nowhere, since a block took away all that it ever pointed to.
  release_id       uuid,
  revision         bigint NOT NULL CONSTRAINT channels_revision CHECK (revision >= 1),
  updated_at       timestamptz(3) NOT NULL,
  updated_by_type  text NOT NULL,
  updated_by_id    text NOT NULL,
  PRIMARY KEY (cluster_id, product_id, channel),
  CONSTRAINT channels_release_of_product FOREIGN KEY (product_id, release_id) REFERENCES releases (product_id, id)
);
CREATE INDEX channels_release ON channels (product_id, release_id) WHERE release_id IS NOT NULL;

-- Every place that a channel has pointed to: where it goes back to when a block takes its version away.
CREATE TABLE channel_moves (
  cluster_id  uuid NOT NULL,
  product_id  uuid NOT NULL,
  channel     text NOT NULL,
  revision    bigint NOT NULL,
  release_id  uuid,
  moved_at    timestamptz(3) NOT NULL,
  PRIMARY KEY (cluster_id, product_id, channel, revision),
  FOREIGN KEY (cluster_id, product_id, channel) REFERENCES channels (cluster_id, product_id, channel),
  FOREIGN KEY (product_id, release_id) REFERENCES releases (product_id, id)
);

-- The last referee of what one row cannot state. The service never gets here; whoever does has a fault.

CREATE FUNCTION refuse_release_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
END $$;

-- What was published stays as it was published; approval is given once and stays; blocks come and go.
CREATE TRIGGER releases_never_change BEFORE UPDATE ON releases
  FOR EACH ROW WHEN ((NEW.id, NEW.product_id, NEW.version, NEW.envelope, NEW.payload, NEW.payload_sha256, NEW.manifest,
                      NEW.published_at, NEW.published_by_type, NEW.published_by_id)
    IS DISTINCT FROM (OLD.id, OLD.product_id, OLD.version, OLD.envelope, OLD.payload, OLD.payload_sha256, OLD.manifest,
                      OLD.published_at, OLD.published_by_type, OLD.published_by_id)
    OR (OLD.approved_at IS NOT NULL AND (NEW.approved_at, NEW.approved_by_type, NEW.approved_by_id)
                                        IS DISTINCT FROM (OLD.approved_at, OLD.approved_by_type, OLD.approved_by_id)))
  EXECUTE FUNCTION refuse_release_change('a published release never changes');
CREATE TRIGGER releases_stay BEFORE DELETE ON releases
  FOR EACH ROW EXECUTE FUNCTION refuse_release_change('a published release stays');
CREATE TRIGGER release_signatures_never_change BEFORE UPDATE OR DELETE ON release_signatures
  FOR EACH ROW EXECUTE FUNCTION refuse_release_change('the signatures of a release stay');

-- All that ever changes of an artifact or a migration is that its bytes are there, once.
CREATE TRIGGER release_artifacts_never_change BEFORE UPDATE ON release_artifacts
  FOR EACH ROW WHEN ((NEW.release_id, NEW.os, NEW.arch, NEW.sha256, NEW.size_bytes, NEW.media_type, NEW.file_name)
    IS DISTINCT FROM (OLD.release_id, OLD.os, OLD.arch, OLD.sha256, OLD.size_bytes, OLD.media_type, OLD.file_name)
    OR OLD.stored_at IS NOT NULL)
  EXECUTE FUNCTION refuse_release_change('the artifacts of a release never change');
CREATE TRIGGER release_artifacts_stay BEFORE DELETE ON release_artifacts
  FOR EACH ROW EXECUTE FUNCTION refuse_release_change('the artifacts of a release stay');
CREATE TRIGGER release_migrations_never_change BEFORE UPDATE ON release_migrations
  FOR EACH ROW WHEN ((NEW.release_id, NEW.migration_id, NEW.position, NEW.target, NEW.source_version, NEW.target_version,
                      NEW.backup_required, NEW.downgrade_possible, NEW.sha256, NEW.size_bytes)
    IS DISTINCT FROM (OLD.release_id, OLD.migration_id, OLD.position, OLD.target, OLD.source_version, OLD.target_version,
                      OLD.backup_required, OLD.downgrade_possible, OLD.sha256, OLD.size_bytes)
    OR OLD.stored_at IS NOT NULL)
  EXECUTE FUNCTION refuse_release_change('the migrations of a release never change');
CREATE TRIGGER release_migrations_stay BEFORE DELETE ON release_migrations
  FOR EACH ROW EXECUTE FUNCTION refuse_release_change('the migrations of a release stay');
CREATE TRIGGER releases_never_emptied BEFORE TRUNCATE ON releases
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_release_change('published releases stay');

CREATE TRIGGER signing_keys_never_change BEFORE UPDATE ON signing_keys
  FOR EACH ROW WHEN ((NEW.id, NEW.key_id, NEW.curve, NEW.x, NEW.y, NEW.material)
    IS DISTINCT FROM (OLD.id, OLD.key_id, OLD.curve, OLD.x, OLD.y, OLD.material)
    OR (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at))
  EXECUTE FUNCTION refuse_release_change('a signing key stays the key that it is, and revoked once it was');
CREATE TRIGGER signing_keys_stay BEFORE DELETE ON signing_keys
  FOR EACH ROW EXECUTE FUNCTION refuse_release_change('a signing key is revoked, not removed');

-- A channel never points to what is not approved, or is blocked, whoever moves it.
CREATE FUNCTION check_channel_release() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Holds the row, so that no block slips in between.
  PERFORM 1 FROM releases AS r WHERE r.id = NEW.release_id AND r.approved_at IS NOT NULL AND r.blocked_at IS NULL FOR SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the release is not approved, or is blocked' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER channels_point_to_approved BEFORE INSERT OR UPDATE OF release_id ON channels
  FOR EACH ROW WHEN (NEW.release_id IS NOT NULL) EXECUTE FUNCTION check_channel_release();
CREATE FUNCTION refuse_block_under_channels() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM channels AS c WHERE c.product_id = NEW.product_id AND c.release_id = NEW.id) THEN
    RAISE EXCEPTION 'a channel still points to the release' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
  END IF;
  RETURN NULL;
END $$;
-- Deferred: the block comes first, so that nobody points a channel to the release while its channels are moved away.
CREATE CONSTRAINT TRIGGER releases_blocked_without_channels AFTER UPDATE OF blocked_at ON releases
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.blocked_at IS NOT NULL)
  EXECUTE FUNCTION refuse_block_under_channels();
CREATE TRIGGER channels_revision_only_grows BEFORE UPDATE ON channels
  FOR EACH ROW WHEN (NEW.revision <> OLD.revision + 1)
  EXECUTE FUNCTION refuse_release_change('every move of a channel raises its revision by one');
