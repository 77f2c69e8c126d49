CREATE TABLE node_join_tokens (
  id               uuid PRIMARY KEY,
  cluster_id       uuid NOT NULL REFERENCES clusters (id),
  description      text,
  token_hash       bytea NOT NULL CONSTRAINT node_join_tokens_hash_is_unique UNIQUE,
  scope            jsonb NOT NULL DEFAULT '{}',
  auto_approve     boolean NOT NULL DEFAULT false,
  max_uses         integer NOT NULL CONSTRAINT node_join_tokens_max_uses CHECK (max_uses BETWEEN 1 AND 10000),
  created_by_type  text NOT NULL,
  created_by_id    text NOT NULL,
  created_at       timestamptz(3) NOT NULL DEFAULT now(),
  expires_at       timestamptz(3) NOT NULL,
  revoked_at       timestamptz(3),
  -- Set by the worker when it has written the expiry into the audit log; decides nothing.
  expiry_noted_at  timestamptz(3),
  CONSTRAINT node_join_tokens_expires_after_creation CHECK (expires_at > created_at)
);
CREATE INDEX node_join_tokens_newest ON node_join_tokens (cluster_id, created_at DESC, id DESC);
CREATE INDEX node_join_tokens_expiry_to_note ON node_join_tokens (expires_at) WHERE expiry_noted_at IS NULL AND revoked_at IS NULL;

CREATE TABLE node_join_requests (
  id                     uuid PRIMARY KEY,
  cluster_id             uuid NOT NULL REFERENCES clusters (id),
  token_id               uuid NOT NULL REFERENCES node_join_tokens (id),
  node_name              text NOT NULL CONSTRAINT node_join_requests_name CHECK (node_name ~ '^[A-Za-z0-9._-]{1,63}$'),
  -- RFC 7638 thumbprint of the node's key.
  node_fingerprint       text NOT NULL,
  public_key             jsonb NOT NULL,
  csr                    text,
  reported_capabilities  text[] NOT NULL DEFAULT '{}',
  reported_facts         jsonb NOT NULL,
  requested_roles        text[] NOT NULL DEFAULT '{}',
  agent_version          text NOT NULL,
  clock_skew_seconds     double precision NOT NULL DEFAULT 0,
  -- `expired` holds at `expires_at`, whether or not the worker has written it down.
  status                 text NOT NULL DEFAULT 'pending' CONSTRAINT node_join_requests_status
                         CHECK (status IN ('pending', 'approved', 'rejected', 'expired', 'cancelled')),
  expires_at             timestamptz(3) NOT NULL,
  reviewed_by_type       text,
  reviewed_by_id         text,
  reviewed_at            timestamptz(3),
  approved_node_id       uuid REFERENCES nodes (id),
  rejection_reason       text,
  created_at             timestamptz(3) NOT NULL DEFAULT now(),
  updated_at             timestamptz(3) NOT NULL DEFAULT now(),
  CONSTRAINT node_join_requests_one_per_token_and_key UNIQUE (token_id, node_fingerprint),
  CONSTRAINT node_join_requests_approved CHECK ((status = 'approved') = (approved_node_id IS NOT NULL)),
  CONSTRAINT node_join_requests_reviewed CHECK (status NOT IN ('approved', 'rejected') OR reviewed_at IS NOT NULL)
);
CREATE INDEX node_join_requests_newest ON node_join_requests (cluster_id, created_at DESC, id DESC);
CREATE INDEX node_join_requests_pending ON node_join_requests (expires_at) WHERE status = 'pending';
CREATE INDEX node_join_requests_fingerprint ON node_join_requests (node_fingerprint);

-- A decided request stays as it was decided.
CREATE FUNCTION refuse_deciding_twice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a decided join request stays decided' USING ERRCODE = 'check_violation', CONSTRAINT = 'node_join_requests_decided_once';
END $$;
CREATE TRIGGER node_join_requests_decided_once BEFORE UPDATE OF status ON node_join_requests
  FOR EACH ROW WHEN (OLD.status <> 'pending' AND NEW.status <> OLD.status) EXECUTE FUNCTION refuse_deciding_twice();

-- One row per (token, key): spent with the request, given back when it is rejected, expires or is cancelled.
CREATE TABLE node_join_token_uses (
  token_id        uuid NOT NULL REFERENCES node_join_tokens (id),
  key_thumbprint  text NOT NULL,
  spent_at        timestamptz(3) NOT NULL DEFAULT now(),
  given_back_at   timestamptz(3),
  PRIMARY KEY (token_id, key_thumbprint)
);

CREATE TABLE node_role_assignments (
  id                uuid PRIMARY KEY,
  cluster_id        uuid NOT NULL,
  node_id           uuid NOT NULL,
  role              text NOT NULL,
  organization_id   uuid,
  status            text NOT NULL DEFAULT 'active' CONSTRAINT node_role_assignments_status CHECK (status IN ('active', 'disabled')),
  policy            jsonb NOT NULL DEFAULT '{}',
  valid_from        timestamptz(3),
  valid_until       timestamptz(3),
  assigned_at       timestamptz(3) NOT NULL DEFAULT now(),
  assigned_by_type  text NOT NULL,
  assigned_by_id    text NOT NULL,
  updated_at        timestamptz(3) NOT NULL DEFAULT now(),
  FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id),
  CONSTRAINT node_role_assignments_validity CHECK (valid_from IS NULL OR valid_until IS NULL OR valid_from < valid_until)
);
CREATE UNIQUE INDEX node_role_assignments_once
  ON node_role_assignments (cluster_id, node_id, role, coalesce(organization_id, '00000000-0000-0000-0000-000000000000'));
CREATE INDEX node_role_assignments_newest ON node_role_assignments (cluster_id, assigned_at DESC, id DESC);
CREATE INDEX node_role_assignments_node ON node_role_assignments (cluster_id, node_id);
