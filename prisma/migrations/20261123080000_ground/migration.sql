-- What every module stands on: facts about this installation, the change feed, idempotency, one-time ids.

CREATE SCHEMA IF NOT EXISTS bullmq;

-- One row: facts about this installation that must outlive a process.
CREATE TABLE installation (
  singleton          boolean PRIMARY KEY DEFAULT true CONSTRAINT installation_is_one_row CHECK (singleton),
  id                 uuid NOT NULL DEFAULT gen_random_uuid(),
  -- Sealed under the master key; a key that cannot open it is the wrong one, and the service refuses to start.
  master_key_check   bytea,
  system_identifier  text,
  timeline_id        integer,
  created_at         timestamptz(3) NOT NULL DEFAULT now()
);
INSERT INTO installation DEFAULT VALUES;

-- Outbox of everything that changed, written in the transaction that changed it.
CREATE TABLE change_feed (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- Readers take all rows from the oldest transaction that may still have been running at their last look.
  xid            xid8 NOT NULL DEFAULT pg_current_xact_id(),
  kind           text NOT NULL,
  resource_type  text NOT NULL,
  resource_id    text NOT NULL,
  cluster_id     uuid,
  node_id        uuid,
  revision       bigint,
  occurred_at    timestamptz(3) NOT NULL DEFAULT now(),
  -- Dense and ordered; given by the sequencer once no older transaction can add rows below it.
  position       bigint,
  CONSTRAINT change_feed_kind_is_dotted CHECK (kind ~ '^[a-z_]+\.[a-z_]+$')
);
CREATE INDEX change_feed_xid ON change_feed (xid, id);
CREATE UNIQUE INDEX change_feed_position ON change_feed (position) WHERE position IS NOT NULL;
CREATE INDEX change_feed_unsequenced ON change_feed (xid, id) WHERE position IS NULL;

-- Where the sequencer stands; locked by whoever sequences, so that positions stay dense.
CREATE TABLE change_feed_sequencer (
  singleton      boolean PRIMARY KEY DEFAULT true CONSTRAINT change_feed_sequencer_is_one_row CHECK (singleton),
  last_position  bigint NOT NULL DEFAULT 0,
  -- Rows up to here have been removed by retention; an older cursor gets `reset`.
  pruned_through bigint NOT NULL DEFAULT 0
);
INSERT INTO change_feed_sequencer DEFAULT VALUES;

-- Answers kept for `Idempotency-Key`, sealed so that only the holder of the key can replay them.
CREATE TABLE idempotency_keys (
  principal    text NOT NULL,
  -- SHA-256 of the key: the key itself is what opens the answer, so it is not stored.
  key_hash     bytea NOT NULL,
  fingerprint  bytea NOT NULL,
  answer       bytea NOT NULL,
  created_at   timestamptz(3) NOT NULL DEFAULT now(),
  expires_at   timestamptz(3) NOT NULL,
  PRIMARY KEY (principal, key_hash)
);
CREATE INDEX idempotency_keys_expires_at ON idempotency_keys (expires_at);

-- Ids of assertions that were accepted; each is accepted once, on any instance.
CREATE TABLE used_assertion_ids (
  issuer      text NOT NULL,
  jti         text NOT NULL,
  expires_at  timestamptz(3) NOT NULL,
  PRIMARY KEY (issuer, jti)
);
CREATE INDEX used_assertion_ids_expires_at ON used_assertion_ids (expires_at);

-- Ed25519 keys by which the platform signs node access tokens; the private part is sealed under the master key.
CREATE TABLE platform_signing_keys (
  kid                 text PRIMARY KEY,
  purpose             text NOT NULL CONSTRAINT platform_signing_keys_purpose CHECK (purpose IN ('access_token')),
  public_jwk          jsonb NOT NULL,
  sealed_private_key  bytea NOT NULL,
  created_at          timestamptz(3) NOT NULL DEFAULT now(),
  retired_at          timestamptz(3)
);
CREATE UNIQUE INDEX platform_signing_keys_one_active ON platform_signing_keys (purpose) WHERE retired_at IS NULL;
