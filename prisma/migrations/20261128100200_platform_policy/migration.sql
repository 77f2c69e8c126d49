-- The platform's own policy: one row, since there is one platform.
CREATE TABLE platform_policy (
  singleton              boolean PRIMARY KEY DEFAULT true CONSTRAINT platform_policy_is_one_row CHECK (singleton),
  -- Whether who published a release may approve it.
  release_self_approval  boolean NOT NULL DEFAULT true,
  -- Operations over the platform that need a second person, by permission.
  four_eyes              jsonb NOT NULL DEFAULT '{}',
  updated_at             timestamptz(3) NOT NULL DEFAULT now()
);
INSERT INTO platform_policy DEFAULT VALUES;
