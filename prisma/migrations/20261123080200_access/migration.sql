-- API tokens of scripts. The secret is never stored, only its HMAC-SHA-256 under a key of its own purpose.

CREATE TABLE api_tokens (
  id                 uuid PRIMARY KEY,
  name               text NOT NULL CONSTRAINT api_tokens_name CHECK (length(name) BETWEEN 1 AND 200),
  token_hash         bytea NOT NULL UNIQUE,
  role               text,
  permissions        text[] NOT NULL DEFAULT '{}',
  -- null: platform scope.
  cluster_id         uuid,
  organization_id    uuid,
  high_risk          boolean NOT NULL DEFAULT false,
  allowed_addresses  text[] NOT NULL DEFAULT '{}',
  created_by_type    text NOT NULL,
  created_by_id      text NOT NULL,
  created_at         timestamptz(3) NOT NULL DEFAULT now(),
  expires_at         timestamptz(3),
  last_used_at       timestamptz(3),
  revoked_at         timestamptz(3),
  CONSTRAINT api_tokens_high_risk_expires CHECK (NOT high_risk OR expires_at IS NOT NULL),
  CONSTRAINT api_tokens_grants_something CHECK (role IS NOT NULL OR cardinality(permissions) > 0)
);
CREATE INDEX api_tokens_newest ON api_tokens (created_at DESC, id DESC);
